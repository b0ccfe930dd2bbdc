"""Batches of events: who gets them, what merges, and that a batch counts once."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.identity.batches import START_US, Event, batch, event
from tests.identity.client import Identity, people, shown


async def test_events_with_a_strong_identifier_in_common_are_one_person(identity: Identity) -> None:
    first, second = await identity.apply(event(email="a@b.com", browser_id="br1"), event(email=" A@B.com "))
    (third,) = await identity.apply(event(email="a@b.com", ip="1.2.3.4", user_id="u-1"))
    (fourth,) = await identity.apply(event(user_id="u-1"))
    assert first == second == third == fourth


async def test_strong_identifiers_of_different_people_merge_them_and_the_oldest_survives(identity: Identity) -> None:
    older, newer = await identity.apply(event(email="a@b.com"), event(wallet_address="0xABC123"))
    assert older != newer
    (bridged,) = await identity.apply(event(wallet_address="0xabc123", email="a@b.com"))
    assert bridged == older
    profile = await identity.profile(newer)
    assert profile.internal_user_id == older
    assert list(profile.merged_ids) == [newer]
    assert profile.identifiers["wallet_address"] == "0xABC123"
    assert len(profile.events) == 3


async def test_the_survivor_is_the_one_that_was_accepted_first_even_if_it_was_applied_later(
    identity: Identity,
) -> None:
    (later,) = await identity.apply(event(email="a@b.com"), accepted_at_us=START_US + 10_000_000)
    (earlier,) = await identity.apply(event(email="c@d.com"), accepted_at_us=START_US)
    assert later != earlier
    (bridged,) = await identity.apply(
        Event(identifiers={"email": "a@b.com"}, more=[("email", "c@d.com")], event_id="x")
    )
    assert bridged == earlier


async def test_a_weak_identifier_never_merges_two_profiles(identity: Identity) -> None:
    a, b = await identity.apply(
        event(email="a@b.com", browser_id="br1"), event(wallet_address="0xABC123", browser_id="br1")
    )
    assert a != b
    profile = await identity.profile(a)
    assert [(m.internal_user_id, m.identifier, m.value) for m in profile.possible_matches] == [(b, "browser_id", "br1")]


async def test_an_event_with_a_browser_only_goes_to_its_only_owner(identity: Identity) -> None:
    (owner,) = await identity.apply(event(email="a@b.com", browser_id="br1"))
    assert await identity.apply(event(browser_id="br1")) == [owner]


async def test_an_event_with_a_browser_of_several_people_goes_to_an_anonymous_profile(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com", browser_id="br1"), event(email="c@d.com", browser_id="br1"))
    (nobody,) = await identity.apply(event(browser_id="br1"))
    assert nobody not in {a, b}
    assert await identity.apply(event(browser_id="br1")) == [nobody]
    match = await identity.match("browser_id", "br1")
    assert match.internal_user_id == nobody
    assert list(match.candidates) == [a, b, nobody]
    assert match.match.ambiguous


async def test_an_address_never_attributes(identity: Identity) -> None:
    (owner,) = await identity.apply(event(email="a@b.com", ip_address="1.2.3.4"))
    first, second = await identity.apply(event(ip_address="1.2.3.4"), event(ip_address="1.2.3.4"))
    assert first == second != owner
    profile = await identity.profile(owner)
    assert shown(profile, "ip_addresses") == ["1.2.3.4"]


async def test_an_anonymous_profile_is_adopted_by_a_new_strong_identifier(identity: Identity) -> None:
    (anonymous,) = await identity.apply(event(browser_id="br1"))
    (known,) = await identity.apply(event(email="a@b.com", browser_id="br1"))
    assert known == anonymous
    (other,) = await identity.apply(event(email="c@d.com", browser_id="br1"))
    assert other != anonymous


async def test_a_known_strong_identifier_does_not_take_an_anonymous_profile_along(identity: Identity) -> None:
    (known,) = await identity.apply(event(email="a@b.com"))
    (anonymous,) = await identity.apply(event(browser_id="br1"))
    assert await identity.apply(event(email="a@b.com", browser_id="br1")) == [known]
    profile = await identity.profile(known)
    assert [match.internal_user_id for match in profile.possible_matches] == [anonymous]


async def test_a_batch_counts_once(identity: Identity) -> None:
    message = batch([event("e-1", email="a@b.com"), event("e-2", browser_id="b")])
    first = await identity.apply_batch(message)
    again = await identity.apply_batch(message)
    assert not first.already_applied
    assert again.already_applied
    assert len((await identity.profile(people(first)[0])).events) == 1
    assert await identity.rows("SELECT count(*) FROM timeline_entry") == [(2,)]


async def test_a_batch_that_is_sent_many_times_at_once_counts_once(replicas: list[Identity]) -> None:
    message = batch([event(f"e-{n}", email=f"p{n}@b.com") for n in range(20)])
    answers = await asyncio.gather(*(replicas[n % 2].apply_batch(message) for n in range(10)))
    assert sorted(answer.already_applied for answer in answers) == [False] + [True] * 9
    assert await replicas[0].rows("SELECT count(*) FROM timeline_entry") == [(20,)]


async def test_an_event_without_identifiers_has_no_person(identity: Identity) -> None:
    assert await identity.apply(event(), event(email="a@b.com")) == ["", "user_1"]


async def test_identifiers_show_as_the_contract_says(identity: Identity) -> None:
    (person,) = await identity.apply(
        event(email="A@b.com ", phone=" +49 (30) 12-34.5", wallet_address="0xABC123", browser_id="br1", user_id="u1")
    )
    await identity.apply(event(email="a@b.com", phone="+493012345", ip_address="2001:DB8:0::1", browser_id="br2"))
    profile = await identity.profile(person)
    identifiers = profile.identifiers
    lists = {"emails", "phones", "wallet_addresses", "user_ids", "browser_ids", "ip_addresses"}
    assert set(identifiers.fields) == {"email", "phone", "wallet_address"} | lists
    assert identifiers["email"] == "a@b.com"
    assert identifiers["wallet_address"] == "0xABC123"
    assert shown(profile, "phones") == ["+49 (30) 12-34.5"]
    assert shown(profile, "browser_ids") == ["br1", "br2"]
    assert shown(profile, "ip_addresses") == ["2001:db8::1"]


async def test_lists_are_there_and_singles_are_not_when_there_is_nothing(identity: Identity) -> None:
    (person,) = await identity.apply(event(browser_id="br1"))
    profile = await identity.profile(person)
    identifiers = profile.identifiers
    assert "email" not in identifiers.fields
    assert shown(profile, "emails") == []


async def test_the_timeline_comes_in_pages_in_time_order(identity: Identity) -> None:
    events = [
        Event(identifiers={"email": "a@b.com"}, event_id=f"e-{n:02}", at_us=START_US + (n * 7 % 10) * 1_000_000)
        for n in range(20)
    ]
    (person, *_) = await identity.apply(*events)
    seen: list[tuple[float, str]] = []
    token = ""
    while True:
        page = await identity.profile(person, page_size=3, page_token=token)
        assert len(page.events) <= 3
        seen += [(entry.timestamp, entry.event_id) for entry in page.events]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted((one.at_us / 1e6, one.event_id) for one in events)


async def test_wrong_profile_requests_are_refused(identity: Identity) -> None:
    for internal_user_id, token, size, code in (
        ("user_zzz", "", 0, grpc.StatusCode.NOT_FOUND),
        ("USER_1", "", 0, grpc.StatusCode.NOT_FOUND),
        ("user_" + "z" * 50, "", 0, grpc.StatusCode.NOT_FOUND),
        ("user_1", "!", 0, grpc.StatusCode.INVALID_ARGUMENT),
        ("user_1", "AAAA", 0, grpc.StatusCode.INVALID_ARGUMENT),
        ("user_1", "", -1, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.profile(internal_user_id, page_token=token, page_size=size)
        assert caught.value.code() is code, internal_user_id


async def test_wrong_match_requests_are_refused(identity: Identity) -> None:
    for identifier, value, code in (
        ("email", "nobody@b.com", grpc.StatusCode.NOT_FOUND),
        ("browser_id", "nobody", grpc.StatusCode.NOT_FOUND),
        ("", "x", grpc.StatusCode.INVALID_ARGUMENT),
        ("email", " ", grpc.StatusCode.INVALID_ARGUMENT),
        ("shoe_size", "42", grpc.StatusCode.INVALID_ARGUMENT),
        ("email", "a\0b", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await identity.match(identifier, value)
        assert caught.value.code() is code, identifier


async def test_a_match_says_how_the_value_was_read(identity: Identity) -> None:
    (person,) = await identity.apply(event(phone="+49 30 1"))
    answer = await identity.match("phone", "+49-(30)-1")
    assert answer.internal_user_id == person
    assert (answer.match.value, answer.match.normalized, answer.match.strength) == ("+49-(30)-1", "+49301", "strong")


async def test_profiles_merge_by_hand_once(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com"), event(email="c@d.com"))
    merged = await identity.merge(b, a, reason="the same customer")
    assert (merged.internal_user_id, list(merged.merged_ids)) == (a, [b])
    assert merged.merge_id
    again = await identity.merge(a, b)
    assert (again.internal_user_id, again.merge_id) == (a, "")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity.merge(a, "user_zzzz")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_columns_that_do_not_fit_are_refused(identity: Identity) -> None:
    message = batch([event(email="a@b.com")])
    message.identifier_values[0] = 99
    message.occurred_at_us.append(1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity.apply_batch(message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "batch.texts" in str(caught.value.details())
    assert "batch.occurred_at_us" in str(caught.value.details())


async def test_events_that_come_again_in_another_batch_are_on_the_timeline_once(identity: Identity) -> None:
    (person,) = await identity.apply(event("e-1", email="a@b.com"))
    assert await identity.apply(event("e-1", email="a@b.com"), event("e-2", email="a@b.com")) == [person, person]
    assert [entry.event_id for entry in (await identity.profile(person)).events] == ["e-1", "e-2"]
