"""What identity's metrics say is what happened."""

from __future__ import annotations

from tests.identity.batches import batch, event
from tests.identity.client import Identity
from tests.scraping import Series, grown, series_of


async def read(identity: Identity) -> Series:
    return await series_of(identity.parts.metrics)


async def test_merges_are_counted_by_cause_with_the_size_of_the_person(identity: Identity) -> None:
    before = await read(identity)
    await identity.apply(event(email="a@private.example"), event(phone="+4930123456"))
    await identity.apply(event(email="a@private.example", phone="+4930123456"))
    change = grown(before, await read(identity))
    assert change["dmp_identity_merges_total cause=event"] == 1
    assert change["dmp_identity_merged_person_identifiers_sum"] == 2
    assert change["dmp_identity_batches_total outcome=applied"] == 2
    assert change["dmp_identity_batch_age_seconds_count"] == 2
    assert change["dmp_identity_apply_duration_seconds_count outcome=applied"] == 2
    assert not [name for name in await read(identity) if "private" in name or "4930" in name]


async def test_what_somebody_merges_and_takes_back_is_counted_once(identity: Identity) -> None:
    before = await read(identity)
    one, other = await identity.apply(event(email="b@x.example"), event(email="c@x.example"))
    merged = await identity.merge(one, other)
    await identity.merge(one, other)
    await identity.undo(merged.merge_id)
    await identity.undo(merged.merge_id)
    change = grown(before, await read(identity))
    assert change["dmp_identity_merges_total cause=manual"] == 1
    assert change["dmp_identity_merges_undone_total"] == 1


async def test_refusals_are_counted_by_rule(identity: Identity) -> None:
    before = await read(identity)
    await identity.apply(event(email="{{email}}"), event(email="{{email}}"), event(user_id="d"))
    change = grown(before, await read(identity))
    assert {name: value for name, value in change.items() if "refusals" in name} == {
        "dmp_identity_refusals_total rule=unfilled_macro": 2
    }


async def test_events_are_counted_by_what_attributed_them(identity: Identity) -> None:
    before = await read(identity)
    await identity.apply(event(email="e@x.example"), event())
    await identity.apply(event(email="e@x.example"))
    change = grown(before, await read(identity))
    attributed = {name.partition(" ")[2]: value for name, value in change.items() if "identity_events" in name}
    assert attributed == {"attributed_by=graph": 1, "attributed_by=cache": 1, "attributed_by=nothing": 1}


async def test_a_batch_that_comes_twice_is_counted_as_repeated(identity: Identity) -> None:
    before = await read(identity)
    message = batch([event(email="k@x.example")])
    for _ in range(2):
        await identity.apply_batch(message)
    change = grown(before, await read(identity))
    assert change["dmp_identity_batches_total outcome=applied"] == 1
    assert change["dmp_identity_batches_total outcome=repeated"] == 1


async def test_a_contact_that_joins_two_people_is_a_merge_of_that_cause(identity: Identity) -> None:
    before = await read(identity)
    await identity.identify(email="f@x.example", phone="1234567")
    await identity.identify(email="g@x.example", phone="7654321")
    await identity.identify(email="f@x.example", phone="7654321")
    assert grown(before, await read(identity))["dmp_identity_merges_total cause=contact"] == 1


async def test_the_cache_says_that_another_replica_merged_people(replicas: list[Identity]) -> None:
    one, other = replicas
    await one.apply(event(email="h@x.example"))
    before = await read(one)
    ids = await other.apply(event(email="i@x.example"), event(email="j@x.example"))
    await other.merge(*ids)
    await one.apply(event(email="h@x.example"))
    assert grown(before, await read(one))["dmp_identity_cache_forgotten_total reason=merged_elsewhere"] == 1
