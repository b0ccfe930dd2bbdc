"""A value that many people share joins only so many of them, whatever comes first and however it is batched."""

from __future__ import annotations

import asyncio
import random

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy
from tests.identity.batches import Event, event
from tests.identity.client import Identity
from tests.identity.policies import packaged_policy

LIMIT = 4
STRANGERS = ["email", "wallet_address", "user_id"]


@pytest.fixture
def policy() -> IdentifierPolicy:
    """The default with small limits."""
    return packaged_policy(strong={"max_per_profile": LIMIT, "hub_degree": LIMIT})


class World:
    """One shared value and the strangers that show it. `others`: how many show it."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.kind = STRANGERS[number % len(STRANGERS)]
        shared_kind = chance.choice(["phone", *(kind for kind in STRANGERS if kind != self.kind)])
        self.shared = (shared_kind, f"shared{number}")
        self.values = [f"{number}-{n}@x.com" for n in range(chance.randint(LIMIT - 1, 3 * LIMIT))]
        known = [{self.kind: value} for value in self.values if chance.random() < 0.6]
        showing = [{self.kind: value, shared_kind: self.shared[1]} for value in self.values]
        again = chance.sample(showing, 2)
        alone = [{shared_kind: self.shared[1]}] * chance.choice([0, 1, 2])
        order = chance.choice(["known first", "shared first", "any"])
        self.events = [*known, *showing, *again, *alone]
        chance.shuffle(self.events)
        if order == "known first":
            self.events.sort(key=lambda one: one not in known)
        elif order == "shared first":
            self.events.sort(key=lambda one: self.kind in one)


async def apply_all(replicas: list[Identity], chance: random.Random, worlds: list[World], clients: int) -> None:
    """Applies the worlds' events, each world's in its order, in batches of any size, by so many clients at once."""
    queues = [[Event(identifiers=one, event_id=event().event_id) for one in world.events] for world in worlds]

    async def client() -> None:
        while waiting := [queue for queue in queues if queue]:
            some: list[Event] = []
            for _ in range(chance.choice([1, 1, 3, 20])):
                queue = chance.choice(waiting)
                some += queue[: (size := chance.choice([1, 2, 5]))]
                del queue[:size]
            await chance.choice(replicas).apply(*some)

    await asyncio.gather(*(client() for _ in range(clients)))


@pytest.mark.parametrize("clients", [1, 8])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_shared_value_joins_no_more_people_than_the_limit(
    replicas: list[Identity], seed: int, clients: int
) -> None:
    chance = random.Random(seed)
    worlds = [World(chance, number) for number in range(60)]
    await apply_all(replicas, chance, worlds, clients)
    rows = await replicas[0].rows(
        "SELECT i.type, i.value, p.root_id, i.shared_at_us IS NOT NULL"
        " FROM identifier i JOIN profile p ON p.id = i.profile_id"
    )
    people = {(kind, value): root for kind, value, root, _ in rows}
    shared = {(kind, value) for kind, value, _, is_shared in rows if is_shared}
    sizes: dict[tuple[int, str], int] = {}
    for (kind, _), root in people.items():
        sizes[root, kind] = sizes.get((root, kind), 0) + 1
    assert max(sizes.values()) <= LIMIT
    for world in worlds:
        assert (world.shared in shared) == (len(world.values) > LIMIT), (world.shared, world.events)
        # What it did not join has a person of its own: nothing is lost.
        assert all((world.kind, value) in people for value in world.values), world.events
        crowd = [value for value in world.values if people[world.kind, value] == people[world.shared]]
        assert 1 <= len(crowd) <= LIMIT
    assert len(shared) == sum(len(world.values) > LIMIT for world in worlds) > 0
