"""A known person on another device."""

from __future__ import annotations

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import event
from tests.identity.client import Identity
from tests.identity.policies import packaged_policy


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("login_first", [True, False])
async def test_what_a_device_shows_after_the_login_is_the_known_persons(
    replicas: list[Identity], login_first: bool, at_once: bool
) -> None:
    (person,) = await replicas[0].apply(event(user_id="u", browser_id="laptop"))
    visit, login, later = event(browser_id="phone"), event(user_id="u", browser_id="phone"), event(browser_id="phone")
    events = [login, visit, later] if login_first else [visit, login, later]
    if at_once:
        places = await replicas[0].apply(*events)
    else:
        places = [(await replicas[n % 2].apply(one))[0] for n, one in enumerate(events)]
    assert places[1:] == [person, person]
    assert (places[0] == person) == login_first
    # In whatever replica, and again and again.
    assert [(await one.apply(event(browser_id="phone")))[0] for one in replicas * 2] == [person] * 4
    match = await replicas[0].match("browser_id", "phone")
    assert (match.internal_user_id, match.match.ambiguous) == (person, False)
    if not login_first:
        assert list(match.candidates) == [person, places[0]]
        matches = (await replicas[0].profile(person)).possible_matches
        assert [(m.internal_user_id, m.value) for m in matches] == [(places[0], "phone")]


async def test_a_second_known_person_makes_the_device_nobodys(replicas: list[Identity]) -> None:
    visitor, first, _ = await replicas[0].apply(event(browser_id="b"), event(user_id="1"), event(user_id="2"))
    await replicas[0].apply(event(user_id="1", browser_id="b"))
    assert [(await one.apply(event(browser_id="b")))[0] for one in replicas] == [first, first]
    await replicas[0].apply(event(user_id="2", browser_id="b"))
    assert [(await one.apply(event(browser_id="b")))[0] for one in replicas] == [visitor, visitor]
    assert (await replicas[0].match("browser_id", "b")).match.ambiguous


async def test_a_visitor_who_becomes_known_elsewhere_makes_the_device_nobodys(replicas: list[Identity]) -> None:
    (person, visitor) = await replicas[0].apply(event(user_id="1"), event(browser_id="tablet"))
    assert await replicas[0].apply(event(browser_id="tablet"), event(browser_id="shared", user_id="1")) == [
        visitor,
        person,
    ]
    await replicas[0].rows(
        "INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal)"
        " VALUES ('browser_id', 'shared', %s, 1, 1)",
        (int(visitor.removeprefix("user_"), 36),),
    )
    assert [(await one.apply(event(browser_id="shared")))[0] for one in replicas * 2] == [person] * 4
    # The visitor is adopted through another browser: now two known people have the shared one.
    assert await replicas[1].apply(event(email="a@x.com", browser_id="tablet")) == [visitor]
    places = [(await one.apply(event(browser_id="shared")))[0] for one in replicas]
    assert places[0] == places[1]
    assert places[0] not in {person, visitor}


class TestSwitchedOff:
    @pytest.fixture
    def policy(self) -> IdentifierPolicy:
        """The packaged one with the rule of before."""
        return packaged_policy(weak={"identified_first": False})

    async def test_a_browser_is_owned_only_if_all_who_have_it_are_one(self, identity: Identity) -> None:
        visit, login, later = await identity.apply(
            event(browser_id="b"), event(user_id="u", browser_id="b2"), event(browser_id="b2")
        )
        assert later == login
        await identity.apply(event(user_id="u", browser_id="b"))
        assert await identity.apply(event(browser_id="b")) == [visit]
        assert (await identity.match("browser_id", "b")).match.ambiguous
