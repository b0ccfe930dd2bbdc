"""Sources whose user ids are their own; other names of types; a `+` that an address has lost."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest

from dmp.identity.v1 import explanation_pb2
from dmp.identity.v1 import identity_service_pb2 as pb
from dmp_chassis.clock import now_us
from dmp_chassis.database import Database
from dmp_identity.adapters.key_rules_store import application_name
from dmp_identity.adapters.planner import with_planner_options
from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.identifier_policy import IdentifierPolicy, PolicyError
from dmp_identity.renormalise_keys import Renormalisation
from tests.identity.batches import Event, event
from tests.identity.client import Identity, running, shown
from tests.identity.policies import packaged_policy, policy_with_namespaces

SPACES = {"crm": "crm", "shop eu": "shop"}


@pytest.fixture
def policy() -> IdentifierPolicy:
    """User ids of two sources are their own."""
    return policy_with_namespaces(SPACES)


def said_by(source: str, **identifiers: str) -> Event:
    """An event of a source."""
    return replace(event(**identifiers), source=source)


async def test_user_ids_of_two_sources_are_two_people(identity: Identity) -> None:
    crm, shop, web, same = await identity.apply(
        said_by("crm", user_id="7", email="a@x.com"),
        said_by("shop eu", user_id="7.0"),
        said_by("web", user_id="7"),
        said_by("crm", user_id="7.0"),
    )
    assert len({crm, shop, web}) == 3
    assert same == crm
    assert shown(await identity.profile(crm), "user_ids") == ["crm:7"]
    for value, namespace, person in (("crm:7", "", crm), ("7", "crm", crm), ("7", "shop", shop), ("7", "", web)):
        answer = await identity.stub.MatchIdentifier(
            pb.MatchIdentifierRequest(identifier="user_id", value=value, namespace=namespace)
        )
        assert (answer.internal_user_id, answer.match.value) == (person, value)
    # Who has no namespace of its own may name another's user; everything else is compared as ever.
    assert await identity.apply(said_by("web", user_id="crm:7"), said_by("shop eu", email="A@x.com")) == [crm, crm]
    with pytest.raises(grpc.aio.AioRpcError, match="namespace is not a namespace"):
        await identity.stub.MatchIdentifier(pb.MatchIdentifierRequest(identifier="user_id", value="7", namespace="web"))


async def test_a_placeholder_is_one_in_every_namespace(identity: Identity) -> None:
    await identity.apply(said_by("crm", user_id="{{user_id}}"), said_by("crm", user_id="null"))
    assert await identity.rows("SELECT value FROM identifier") == []


async def test_known_people_keep_who_they_are_when_namespaces_come(identity_database_url: str, redis_url: str) -> None:
    async with running(identity_database_url, redis_url, packaged_policy()) as before:
        [person] = await before.apply(said_by("crm", user_id="7", email="a@x.com"))
    new = policy_with_namespaces(SPACES)
    async with running(identity_database_url, redis_url, new) as after:
        assert await after.apply(said_by("crm", user_id="7")) == [person]
        database = Database.connect(
            with_planner_options(identity_database_url), pool_size=2, application_name=application_name(new)
        )
        done = await Renormalisation(database, IdentifierParser(new), clock_us=now_us).run()
        await database.close()
        assert (done.moved, done.merges, done.finished) == (1, 0, True)
        assert await after.apply(said_by("crm", user_id="7")) == [person]
        assert (await after.apply(said_by("shop eu", user_id="7"))) != [person]
        assert (await after.match("user_id", "crm:7")).internal_user_id == person


def test_namespaces_that_cannot_be_are_refused() -> None:
    for spaces in ({"crm": "C R M"}, {"crm": 7}, {"crm": ""}):
        with pytest.raises(PolicyError, match="namespaces"):
            policy_with_namespaces(spaces)
    with pytest.raises(PolicyError, match="strong"):
        packaged_policy(weak={"namespaces": {"crm": "crm"}})


async def test_every_name_that_events_give_a_type_is_taken_in_questions(identity: Identity) -> None:
    [person] = await identity.apply(event(email="a@x.com", ip_address="1.2.3.4"))
    answer = await identity.match("ip", "1.2.3.4:80")
    assert (answer.internal_user_id, answer.match.identifier) == (person, "ip_address")
    explained = await identity.stub.ExplainLink(
        explanation_pb2.ExplainLinkRequest(**{"from": "ip:1.2.3.4", "to": "email:a@x.com"})
    )
    assert explained.from_user_id == person


async def test_a_plus_that_became_a_space_is_told(identity: Identity) -> None:
    await identity.apply(event(phone="+49301", email="a+b@x.com"))
    for kind, value in (("phone", " 49301"), ("email", "a b@x.com")):
        with pytest.raises(grpc.aio.AioRpcError, match="%2B") as raised:
            await identity.match(kind, value)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError, match="%2B") as raised:
        await identity.match("phone", " ")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_request_with_placeholders_only_is_refused(identity: Identity) -> None:
    for body in (
        b'{"email": "{{email}}"}', b'{"email": "null", "phoneNumber": "0000000000"}', b'{"phoneNumber": "4.479E+11"}',
        b'{"phoneNumber": 4.479e+11}', b'{"email": "N/A"}',
    ):  # fmt: skip
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await identity.identify_json(body)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await identity.rows("SELECT id FROM contact") == []
