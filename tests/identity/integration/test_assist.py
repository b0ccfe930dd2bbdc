"""A policy in which a browser helps to place somebody whose strong identifiers nobody has."""

from __future__ import annotations

import pytest

from dmp_identity.domain.identifier_policy import IdentifierPolicy, policy_from_mapping
from tests.identity.batches import Event, event
from tests.identity.client import Identity

TYPES = {
    "email": {"strength": "strong"},
    "phone": {"strength": "strong"},
    "browser_id": {"strength": "weak", "attribute": True, "assist": True},
    "device_id": {"strength": "weak", "attribute": True},
}


@pytest.fixture
def policy() -> IdentifierPolicy:
    """A browser assists; a device only says whose the events are that show nothing strong."""
    return policy_from_mapping({"types": TYPES})


async def test_a_browser_helps_who_has_nothing_of_the_type_yet(identity: Identity) -> None:
    (a,) = await identity.apply(event(email="a", browser_id="x"))
    assert await identity.apply(event(phone="1", browser_id="x")) == [a]
    (other,) = await identity.apply(event(phone="2", browser_id="x"))
    assert other != a


@pytest.mark.parametrize(
    "gives", [event(email="a", browser_id="x"), event(device_id="d", browser_id="x")], ids=["strong", "weak"]
)
async def test_what_the_person_has_counts_though_the_browser_became_theirs_in_the_same_batch(
    identity: Identity, gives: Event
) -> None:
    (a,) = await identity.apply(event(email="a", device_id="d"))
    given, other, helped = await identity.apply(
        event(**gives.identifiers), event(email="b", browser_id="x"), event(email="a")
    )
    assert given == helped == a
    assert other != a
