"""Why two identifiers are one person, or are not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection

import grpc
import pytest

from dmp.identity.v1 import explanation_pb2 as pb
from dmp.identity.v1 import merge_pb2
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import Event, event
from tests.identity.client import Identity
from tests.identity.policies import policy_without_limits


@pytest.fixture
def policy() -> IdentifierPolicy:
    """Random people grow large."""
    return policy_without_limits()


async def explain(identity: Identity, start: str, end: str) -> pb.ExplainLinkResponse:
    """The explanation of two ends."""
    return await identity.stub.ExplainLink(pb.ExplainLinkRequest(**{"from": start, "to": end}))


def steps(answer: pb.ExplainLinkResponse) -> list[tuple[str, str, str, str]]:
    """The chain as from, to, reference and rule."""
    return [(getattr(step, "from"), step.to, step.ref, step.rule) for step in answer.chain]


async def test_the_chain_names_every_event_on_the_way(identity: Identity) -> None:
    await identity.apply(event("e1", email="a@b.com", phone="1"), event("e2", user_id="u", wallet_address="0x1"))
    await identity.apply(event("e3", phone="1", user_id="u"))
    answer = await explain(identity, "email:A@b.com", "wallet_address:0x1")
    assert answer.same_person
    assert steps(answer) == [
        ("email:a@b.com", "phone:1", "e1", "seen_together"),
        ("phone:1", "user_id:u", "e3", "merged"),
        ("user_id:u", "wallet_address:0x1", "e2", "seen_together"),
    ]
    assert answer.weakest_link == 1
    assert answer.chain[1].merge_id


async def test_a_later_event_shortens_the_chain(identity: Identity) -> None:
    await identity.apply(event("e1", email="a", phone="1"), event("e2", phone="1", user_id="u"))
    assert len((await explain(identity, "email:a", "user_id:u")).chain) == 2
    await identity.apply(event("e3", email="a", user_id="u"))
    assert steps(await explain(identity, "email:a", "user_id:u")) == [("email:a", "user_id:u", "e3", "seen_together")]


async def test_a_request_is_weaker_than_an_event_and_a_browser_weaker_than_both(identity: Identity) -> None:
    await identity.apply(event("e0", browser_id="b"), event("e1", email="a@b.com", browser_id="b"))
    await identity.identify("a@b.com", "1")
    await identity.apply(event("e2", phone="1", user_id="u"))
    answer = await explain(identity, "email:a@b.com", "user_id:u")
    assert [step.cause for step in answer.chain] == ["contact", "event"]
    assert answer.weakest_link == 0


async def test_profiles_that_a_person_merged_say_so(identity: Identity) -> None:
    a, b = await identity.apply(event(email="a@b.com"), event(email="c@d.com"))
    merged = await identity.merge(a, b, reason="I know them")
    answer = await explain(identity, a, b)
    assert answer.same_person
    assert [(s.rule, s.merge_id, s.source) for s in answer.chain] == [("confirmed", merged.merge_id, "I know them")]


async def test_different_people_get_reasons(identity: Identity) -> None:
    a, b, c = await identity.apply(
        event(email="a@b.com", browser_id="x"), event(email="c@d.com", browser_id="x"), event(email="e@f.com")
    )
    answer = await explain(identity, a, b)
    assert not answer.same_person
    assert [(o.rule, o.identifier) for o in answer.objections] == [("weak_only", "browser_id:x")]
    assert [o.rule for o in (await explain(identity, a, c)).objections] == ["no_connection"]
    await identity.stub.CreateNeverMerge(merge_pb2.CreateNeverMergeRequest(internal_user_ids=[a, c], reason="twins"))
    await identity.apply(Event(identifiers={"email": "a@b.com"}, more=[("email", "e@f.com")], event_id="both"))
    rules = [(o.rule, o.ref) for o in (await explain(identity, "email:a@b.com", c)).objections]
    assert ("never_merge", "both") in rules
    assert len(rules) == 2
    assert [o.rule for o in (await explain(identity, a, "email:null")).objections] == ["blocked"]
    assert [o.rule for o in (await explain(identity, a, "email:no@body.com")).objections] == ["no_connection"]
    assert [o.rule for o in (await explain(identity, a, "browser_id:x")).objections] == ["weak_only"]


async def test_wrong_ends_are_refused(identity: Identity) -> None:
    (a,) = await identity.apply(event(email="a@b.com"))
    for start, end, code in (
        ("", a, grpc.StatusCode.INVALID_ARGUMENT),
        (a, "shoe:1", grpc.StatusCode.INVALID_ARGUMENT),
        (a, "email:", grpc.StatusCode.INVALID_ARGUMENT),
        (a, "user_zzzz", grpc.StatusCode.NOT_FOUND),
        (a, "nonsense", grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await explain(identity, start, end)
        assert caught.value.code() is code, (start, end)


async def test_every_chain_really_connects_and_none_is_shorter(identity: Identity) -> None:
    chance = random.Random(11)
    kinds = ["email", "phone", "user_id", "wallet_address"]
    events = []
    for number in range(120):
        chosen = chance.sample(kinds, chance.choice([1, 2, 2, 3]))
        events.append(event(f"e{number}", **{kind: f"{chance.randrange(1, 25)}9" for kind in chosen}))
    for first in range(0, len(events), 7):
        await identity.apply(*events[first : first + 7])
    seen_in = {one.event_id: {f"{kind}:{value}" for kind, value in one.identifiers.items()} for one in events}
    nodes = sorted({node for group in seen_in.values() for node in group})
    for _ in range(60):
        start, end = chance.sample(nodes, 2)
        answer = await explain(identity, start, end)
        shortest = distance(seen_in.values(), start, end)
        assert answer.same_person == (shortest is not None), (start, end)
        if shortest is not None:
            chain = steps(answer)
            assert (chain[0][0], chain[-1][1]) == (start, end)
            assert all(first[1] == second[0] for first, second in itertools.pairwise(chain))
            assert all({step[0], step[1]} <= seen_in[step[2]] for step in chain)
            assert len(chain) == shortest


def distance(groups: Collection[set[str]], start: str, end: str) -> int | None:
    """How many events it takes to walk from one identifier to another, None if nothing connects them."""
    found, edge, steps_taken = {start}, {start}, 0
    while edge and end not in found:
        edge = {node for group in groups if group & edge for node in group} - found
        found |= edge
        steps_taken += 1
    return steps_taken if end in found else None


async def test_a_person_is_drawn_with_both_ends_of_every_edge(identity: Identity) -> None:
    (a, *_) = await identity.apply(
        event("e1", email="a@b.com", phone="1", browser_id="x"),
        event("e2", user_id="u"),
        event("e3", user_id="u", phone="1"),
    )
    graph = await identity.stub.GetGraph(pb.GetGraphRequest(internal_user_id=a))
    nodes = {node.id: node for node in graph.nodes}
    edges = {(getattr(edge, "from"), edge.to, edge.kind) for edge in graph.edges}
    assert all(start in nodes and end in nodes for start, end, _ in edges)
    assert ("email:a@b.com", "event:e1", "shown_by") in edges
    assert {node.kind for node in graph.nodes} == {"profile", "identifier", "event"}
    assert nodes["browser_id:x"].strength == "weak"
    assert [kind for *_, kind in edges].count("merged") == 1
