"""Possible matches of people who have very many weak identifiers, or common ones."""

from __future__ import annotations

import grpc
import pytest

from tests.identity.batches import event
from tests.identity.client import Identity, shown


def number_of(person: str) -> int:
    """The stored id."""
    return int(person.removeprefix("user_"), 36)


async def test_many_addresses_hide_no_shared_browser(identity: Identity) -> None:
    (a, *_) = await identity.apply(*(event(user_id="a", ip_address=f"10.0.0.{n}") for n in range(150)))
    (b, *_) = await identity.apply(event(user_id="b", browser_id="x"), event(user_id="a", browser_id="x"))
    for one, other in ((a, b), (b, a)):
        matches = (await identity.profile(one)).possible_matches
        assert [(m.internal_user_id, m.identifier, m.value) for m in matches] == [(other, "browser_id", "x")]


async def test_of_very_many_the_newest_are_shown_and_it_is_said(identity: Identity) -> None:
    a, b = await identity.apply(event(user_id="a", browser_id="x"), event(user_id="b", browser_id="x"))
    await identity.rows(
        "INSERT INTO weak_link (type, value, profile_id, first_seen_at_us, ordinal)"
        " SELECT 'ip_address', concat_ws('.', 10, n / 65536, mod(n / 256, 256), mod(n, 256)), %s,"
        " 2000000000000000 + n, 1 FROM generate_series(1, 100000) n",
        (number_of(a),),
    )
    profile = await identity.profile(a)
    addresses = shown(profile, "ip_addresses")
    assert (len(addresses), addresses[-1]) == (1000, "10.1.134.160")
    assert shown(profile, "truncated") == ["ip_addresses"]
    assert shown(profile, "browser_ids") == ["x"]
    assert [m.internal_user_id for m in profile.possible_matches] == [b]
    assert shown(await identity.profile(b), "truncated") == []


async def test_the_rarest_come_first_in_pages(identity: Identity) -> None:
    (a,) = await identity.apply(event(user_id="a", ip_address="1.1.1.1", browser_id="common"))
    crowd = await identity.apply(*(event(user_id=f"c{n}", browser_id="common") for n in range(250)))
    rare = await identity.apply(*(event(user_id=f"r{n}", ip_address="1.1.1.1", browser_id="common") for n in range(2)))
    seen: list[str] = []
    token = ""
    for size in (100, 100, 52):
        answer = await identity.profile(a, matches_token=token)
        seen += [m.internal_user_id for m in answer.possible_matches]
        assert len(answer.possible_matches) == size
        token = answer.next_matches_token
    assert token == ""
    assert seen[:2] == rare
    assert set(seen) == {*crowd, *rare}
    assert len(seen) == 252
    for person in (crowd[0], crowd[-1]):
        first = await identity.profile(person)
        assert a in [m.internal_user_id for m in first.possible_matches]
    for wrong in ("0", "-1", "x", "99999999999"):
        with pytest.raises(grpc.aio.AioRpcError, match="matches_token"):
            await identity.profile(a, matches_token=wrong)
