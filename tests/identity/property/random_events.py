"""Events at random, of a few values, so that people meet."""

from __future__ import annotations

import random

VALUES = "23456"
STRONG_TYPES = ["user_id", "email", "phone", "wallet_address"]
Identifiers = dict[str, str]
ShownIdentifiers = tuple[Identifiers, Identifiers]
"""The strong and the weak identifiers of an event."""


def any_weak(choice: random.Random) -> Identifiers:
    """Weak identifiers, if any."""
    kinds = choice.sample(["browser_id", "ip_address"], choice.choice([0, 1, 1, 2]))
    return {kind: choice.choice("789") for kind in kinds}


def any_event(choice: random.Random) -> tuple[Identifiers, Identifiers]:
    """Strong and weak identifiers, at least one, of a few values, so that people meet."""
    strong = {kind: choice.choice(VALUES) for kind in choice.sample(STRONG_TYPES, choice.choice([0, 0, 1, 1, 2, 2, 3]))}
    weak = any_weak(choice) if choice.random() < 0.6 else {}
    return ({"email": "2"}, weak) if not strong and not weak else (strong, weak)


def events_of_a_shared_value(choice: random.Random) -> list[ShownIdentifiers]:
    """One value with others of one type, one after another, as at a shop's counter; now and then alone."""
    kind, other = choice.sample(STRONG_TYPES, 2)
    value = choice.choice(VALUES)
    events: list[ShownIdentifiers] = [
        ({kind: value, other: one}, any_weak(choice) if choice.random() < 0.2 else {})
        for one in choice.sample(VALUES, choice.randint(2, len(VALUES)))
    ]
    if choice.random() < 0.4:
        events.insert(choice.randint(0, len(events)), ({kind: value}, {}))
    return events
