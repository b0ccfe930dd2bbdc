"""Other rules of comparison split nobody: keys carry the rules they were made by, and stored values are read again."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
import pytest

from dmp.identity.v1 import erasure_pb2, explanation_pb2, merge_pb2
from dmp_chassis.clock import now_us
from dmp_chassis.database import Database
from dmp_chassis.uuid7 import uuid7_text
from dmp_identity.adapters.key_rules_store import application_name
from dmp_identity.adapters.planner import with_planner_options
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.preview_renormalisation import Preview, preview_renormalisation
from dmp_identity.renormalise_keys import Renormalisation, Renormalised
from dmp_identity.settings import load_policy
from tests.identity.batches import event
from tests.identity.client import Identity, running, shown
from tests.identity.invariants import check_invariants
from tests.identity.policies import RULES_BEFORE, policy_with_rules, policy_without_step


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The policy before: what is created in a test is created by it."""
    return policy_with_rules(RULES_BEFORE)


@asynccontextmanager
async def job(url: str, policy: IdentifierPolicy) -> AsyncIterator[tuple[Database, IdentifierParser]]:
    """What the command works with."""
    database = Database.connect(with_planner_options(url), pool_size=2, application_name=application_name(policy))
    try:
        yield database, IdentifierParser(policy)
    finally:
        await database.close()


async def renormalise(url: str, policy: IdentifierPolicy) -> Renormalised:
    """Runs the job to its end."""
    async with job(url, policy) as (database, parser):
        return await Renormalisation(database, parser, clock_us=now_us).run()


async def preview(url: str, policy: IdentifierPolicy) -> Preview:
    """What the job would do."""
    async with job(url, policy) as (database, parser):
        return await preview_renormalisation(database, parser, clock_us=now_us)


async def keys(identity: Identity) -> list[tuple[Any, ...]]:
    """All keys of strong and weak identifiers with the numbers of their rules."""
    return await identity.rows(
        "SELECT type, value, rules FROM identifier UNION SELECT type, value, rules FROM weak_link ORDER BY 1, 2"
    )


def check(identity: Identity) -> None:
    """Checks what must be true of the stored graph."""
    with psycopg.connect(identity.database_url) as connection:
        check_invariants(lambda statement: connection.execute(statement.encode()).fetchall())


SPELLINGS = [
    ("phone", "0049 30 1234567", "+49 (30) 1234567"),
    ("phone", "tel:+33 1 23", "+33123"),
    ("email", "Bob@XN--BCHER-KVA.de", "bob@bücher.de"),
    ("email", "mailto:carol@x.com", "carol@x.com."),
    ("wallet_address", "BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("user_id", "12345.0", "12345"),
]


async def test_an_installation_is_upgraded_and_nobody_is_split(
    identity_database_url: str, redis_url: str, policy: IdentifierPolicy
) -> None:
    new = load_policy()
    async with running(identity_database_url, redis_url, policy) as before:
        people = await before.apply(*(event(**{kind: old}) for kind, old, _ in SPELLINGS))
        await before.apply(event(browser_id="b\u200b1"), event(email="weak@x.com", browser_id="b\u200b1"))
        assert len(set(people)) == len(SPELLINGS)
        # A database from before keys had numbers has nothing here.
        assert {number for *_, number in await keys(before)} == {0}
        await before.rows("TRUNCATE key_rules")
    async with running(identity_database_url, redis_url, new) as after:
        assert await after.apply(*(event(**{kind: old}) for kind, old, _ in SPELLINGS)) == people
        for (kind, old, _), person in zip(SPELLINGS, people, strict=True):
            found = await after.match(kind, old)
            assert (found.internal_user_id, found.match.value) == (person, old)
        answer = await after.stub.ExplainLink(
            explanation_pb2.ExplainLinkRequest(**{"from": "phone:0049 30 1234567", "to": people[0]})
        )
        assert answer.same_person
        contact = await after.identify(phone="0049 30 1234567")
        done = await renormalise(identity_database_url, new)
        assert done.finished, done
        assert (done.merges, done.undone) == (0, 0)
        assert {number for *_, number in await keys(after)} == {1}
        for (kind, old, spelling), person in zip(SPELLINGS, people, strict=True):
            for text in (old, spelling):
                assert (await after.match(kind, text)).internal_user_id == person
        assert (await after.identify(phone="+49301234567")).primary_contact_id == contact.primary_contact_id
        assert await after.apply(*(event(**{kind: spelling}) for kind, _, spelling in SPELLINGS)) == people
        assert shown(await after.profile(people[0]), "phones") == ["0049 30 1234567"]
        acts = await after.rows("SELECT result, counts FROM action WHERE refs ->> 'run' = %s ORDER BY id", (done.run,))
        assert [result for result, _ in acts] == ["begun", "done"]
        assert (acts[1][1]["read"], acts[1][1]["moved"]) == (done.read, done.moved)
        check(after)
    # Done is done: the next start finds nothing to read again.
    assert (await renormalise(identity_database_url, new)).read == 0


async def test_spellings_that_were_two_people_become_one_and_can_be_taken_apart(
    identity: Identity, redis_url: str
) -> None:
    url, new = identity.database_url, load_policy()
    a, b, c = await identity.apply(
        event(phone="+49 30 1", email="a@x.com"), event(phone="0049301", user_id="u-9"), event(phone="+49302")
    )
    await identity.apply(event(user_id="u-9", wallet_address="0x9"))
    contacts = [await identity.identify(phone="+49301"), await identity.identify(phone="0049301")]
    said = await preview(url, new)
    assert (said.merges, said.splits, said.would_merge) == (1, 0, [[a, b, "phone:+49301"]])
    listed = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(rule="would_merge"))
    assert [(one.identifier, one.value) for one in listed.refusals] == [("phone", "+49301")]
    assert (await identity.match("phone", "0049301")).internal_user_id == b
    before = [await identity.profile(one) for one in (a, b)]

    done = await renormalise(url, new)
    # This service still makes keys by the old rules, so the old ones stay in use.
    assert (done.merges, done.joined, done.finished) == (1, 1, False)
    async with running(url, redis_url, new) as after:
        for phone in ("+49301", "0049301", "tel:+49-301"):
            assert (await after.match("phone", phone)).internal_user_id == a
        assert (await after.profile(b)).internal_user_id == a
        merges = (await after.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=a))).merges
        assert [(one.cause, one.ref) for one in merges] == [("renormalise", done.run)]
        answer = await after.stub.ExplainLink(explanation_pb2.ExplainLinkRequest(**{"from": a, "to": "user_id:u-9"}))
        assert answer.same_person
        assert (await after.identify(phone="+49301")).secondary_contact_ids == [contacts[1].primary_contact_id]
        assert not (await after.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(rule="would_merge"))).refusals
        check(after)

    # The step is switched off: what it made is taken back.
    assert (await preview(url, policy_with_rules(RULES_BEFORE))).would_split == [[a, b, "phone:+49301"]]
    back = await renormalise(url, policy_with_rules(RULES_BEFORE))
    assert (back.parted, back.undone) == (1, 1)
    assert [await identity.profile(one) for one in (a, b)] == before
    assert (await identity.match("phone", "0049301")).internal_user_id == b
    assert (await identity.profile(c)).internal_user_id == c
    # Nobody said that they are different people: evidence may join them.
    assert len(set(await identity.apply(event(phone="+49301", user_id="u-9")))) == 1
    assert (await identity.profile(b)).internal_user_id == a
    check(identity)


async def test_a_merge_by_the_job_is_undone_like_any_other(identity: Identity, redis_url: str) -> None:
    a, b = await identity.apply(event(phone="+49301"), event(phone="0049301", email="b@x.com"))
    await renormalise(identity.database_url, load_policy())
    async with running(identity.database_url, redis_url, load_policy()) as after:
        merge = (await after.stub.ListMerges(merge_pb2.ListMergesRequest(internal_user_id=b))).merges[0]
        assert list((await after.undo(merge.merge_id)).internal_user_ids) == [a, b]
        # A value has one owner; it stays with the older one, and the two are kept apart.
        assert (await after.match("phone", "0049301")).internal_user_id == a
        assert (await after.match("email", "b@x.com")).internal_user_id == b
        export = await after.stub.ExportProfile(erasure_pb2.ExportProfileRequest(internal_user_id=b))
        assert [one.value for one in export.identifiers] == ["b@x.com", "0049301"]
        assert (await renormalise(after.database_url, load_policy())).merges == 0
        assert (await after.profile(b)).internal_user_id == b
        check(after)


async def test_people_who_are_kept_apart_stay_apart(identity: Identity) -> None:
    a, b = await identity.apply(event(phone="+49301"), event(phone="0049301"))
    await identity.stub.CreateNeverMerge(
        merge_pb2.CreateNeverMergeRequest(internal_user_ids=[a, b], reason="father and son")
    )
    done = await renormalise(identity.database_url, load_policy())
    assert (done.merges, done.joined) == (0, 1)
    assert (await identity.profile(b)).internal_user_id == b
    refused = await identity.stub.ListRefusals(explanation_pb2.ListRefusalsRequest(rule="never_merge"))
    assert [(one.value, one.ref) for one in refused.refusals] == [("+49301", done.run)]


async def test_what_names_a_value_names_its_new_key(identity: Identity, redis_url: str) -> None:
    # An arrival by a phone, a pair, a merge, a weak identifier that adopted, and a refusal.
    await identity.apply(event(phone="0049301"), event(email="a@x.com."))
    await identity.apply(event(phone="0049301", email="a@x.com."), event(phone="0049301", wallet_address="0x1"))
    await identity.apply(event(wallet_address="0x1", email="a@x.com."))
    await identity.apply(event(browser_id="b\u200bx"), event(browser_id="b\u200bx", user_id="u1.0"))
    await identity.apply(event(user_id="12\u200b", email="null@x.com."))
    await renormalise(identity.database_url, load_policy())
    everything = await identity.rows(
        "SELECT type, value FROM identifier UNION SELECT via_type, via_value FROM identifier WHERE via_type IS NOT NULL"
        " UNION SELECT type_a, value_a FROM identifier_pair UNION SELECT type_b, value_b FROM identifier_pair"
        " UNION SELECT type_a, value_a FROM merge_edge UNION SELECT type_b, value_b FROM merge_edge"
        " UNION SELECT type, value FROM weak_link UNION SELECT type, value FROM anonymous_profile"
        " UNION SELECT type, value FROM review"
    )
    parser = IdentifierParser(load_policy())
    for kind, value in everything:
        parsed = parser.parse(kind, value)
        assert parsed is not None
        assert parsed.key == (kind, value)
    async with running(identity.database_url, redis_url, load_policy()) as after:
        answer = await after.stub.ExplainLink(
            explanation_pb2.ExplainLinkRequest(**{"from": "phone:+49301", "to": "wallet_address:0x1"})
        )
        assert answer.same_person
        assert (await after.match("browser_id", "bx")).internal_user_id == (
            await after.match("user_id", "u1.0")
        ).internal_user_id
        check(after)


async def test_values_come_in_while_they_are_read_again(
    identity_database_url: str, redis_url: str, policy: IdentifierPolicy
) -> None:
    count = 400
    async with running(identity_database_url, redis_url, policy) as before:
        people = await before.apply(*(event(phone=f"0049 30 {n:05}") for n in range(count)))
    new, end = load_policy(), asyncio.Event()
    async with (
        running(identity_database_url, redis_url, new) as one,
        running(identity_database_url, redis_url, new) as two,
    ):

        async def keep_coming(client: Identity, spelling: str, first: int) -> int:
            rounds = 0
            while not end.is_set() or rounds < 3:
                chosen = [(first + 7 * n) % count for n in range(20)]
                assert await client.apply(*(event(phone=spelling.format(n)) for n in chosen)) == [
                    people[n] for n in chosen
                ]
                found = await client.match("phone", f"0049 30 {first:05}")
                assert found.internal_user_id == people[first]
                first, rounds = (first + 1) % count, rounds + 1
            return rounds

        async with asyncio.TaskGroup() as group:
            group.create_task(keep_coming(one, "0049 30 {:05}", 0))
            group.create_task(keep_coming(two, "0049-30-{:05}", 100))
            done = await renormalise(identity_database_url, new)
            end.set()
        assert (done.finished, done.moved, done.merges) == (True, count, 0)
        assert await two.apply(*(event(phone=f"+49 30 {n:05}") for n in range(count))) == people
        assert len(await one.rows("SELECT id FROM profile")) == count
        check(one)


async def test_a_killed_job_goes_on_where_it_was(identity: Identity) -> None:
    count = 3000
    people = await identity.apply(*(event(phone=f"0049 30 {n:05}") for n in range(count)))
    environment = {**os.environ, "DMP_IDENTITY_DATABASE_URL": identity.database_url}
    command = [sys.executable, "-m", "dmp_identity", "renormalise"]

    async def moved() -> int:
        return sum(number == 1 for *_, number in await keys(identity))

    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    while not await moved():
        assert process.returncode is None
    process.kill()
    await process.wait()
    assert 0 < await moved() < count
    finished = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    assert await finished.wait() == 0
    assert {number for *_, number in await keys(identity)} == {1}
    owners = dict(await identity.rows("SELECT value, profile_id FROM identifier"))
    assert len(owners) == count
    assert len(set(owners.values())) == len(set(people)) == count


async def test_a_value_of_many_people_stays_one(identity: Identity) -> None:
    await identity.apply(event(phone="+49301"), event(phone="0049301"))
    await identity.rows("UPDATE identifier SET shared_at_us = 1 WHERE value = '0049301'")
    done = await renormalise(identity.database_url, load_policy())
    assert (done.merges, done.joined) == (0, 1)
    assert await identity.rows("SELECT value, shared_at_us FROM identifier") == [("+49301", 1)]


async def test_one_step_is_switched_off_and_on_again(identity: Identity) -> None:
    url = identity.database_url
    a, b = await identity.apply(event(phone="1/234"), event(phone="1234"))
    await renormalise(url, policy_without_step("phone", "slashes"))
    assert (await identity.profile(b)).internal_user_id == b
    await renormalise(url, load_policy())
    assert (await identity.profile(b)).internal_user_id == a
    await renormalise(url, policy_without_step("phone", "slashes"))
    assert (await identity.profile(b)).internal_user_id == b
    await renormalise(url, load_policy())
    assert (await identity.profile(b)).internal_user_id == a


async def test_erasing_takes_former_spellings_and_late_events_by_old_keys(identity: Identity, redis_url: str) -> None:
    a, b = await identity.apply(event(phone="+49301"), event(phone="0049301", email="late@x.com."))
    accepted = now_us()
    await renormalise(identity.database_url, load_policy())
    async with running(identity.database_url, redis_url, load_policy()) as after:
        await after.stub.ErasePerson(erasure_pb2.ErasePersonRequest(erasure_id=uuid7_text(), internal_user_id=a))
        assert await after.rows("SELECT value FROM former_identifier") == []
        assert await after.apply(event(email="late@x.com"), accepted_at_us=accepted) == [""]
        with pytest.raises(grpc.aio.AioRpcError):
            await after.profile(b)


async def test_a_start_with_other_rules_is_told(identity: Identity, redis_url: str) -> None:
    await identity.apply(event(phone="0049301"))
    async with running(identity.database_url, redis_url, load_policy()) as after:
        await after.match("phone", "0049301")
        with pytest.raises(Exception, match="phone"):
            await after.parts.checks["key_rules"]()
