"""Made-up people, of whom every source of `generator` sees only a part."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_FIRST_NAMES = (
    "ada",
    "ben",
    "chen",
    "dana",
    "emre",
    "fatima",
    "goran",
    "hana",
    "ivan",
    "jo",
    "kofi",
    "lena",
    "mina",
    "noor",
    "olu",
    "pia",
)
_LAST_NAMES = (
    "abel",
    "brandt",
    "costa",
    "diaz",
    "eriksen",
    "fischer",
    "gupta",
    "haddad",
    "ito",
    "jansen",
    "kaya",
    "lopez",
    "moreau",
)
_PLANS = ("free", "free", "free", "pro", "team")
_REGIONS = ("eu", "eu", "us", "us", "apac")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person, with everything that any source could learn about them. Empty: they have none."""

    user_id: str
    email: str
    phone: str
    wallet_address: str
    browser_ids: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    plan: str
    region: str


def generate_people(*, seed: int, people: int) -> list[Person]:
    """The people of a seed: always the same for the same number."""
    randomness = random.Random(f"people {seed}")  # noqa: S311 - seeded pseudo-randomness is the point
    households = [_household(randomness) for _ in range(max(1, people * 2 // 3))]
    return [_person(randomness, number, households) for number in range(people)]


def reference_users(people: Sequence[Person]) -> dict[str, dict[str, str]]:
    """What the customer system would send to `PUT /reference/users`: attributes by user id. Every tenth user is
    missing from it."""
    known = [person for person in people if person.user_id]
    return {
        person.user_id: {"plan": person.plan, "region": person.region} for i, person in enumerate(known) if i % 10 != 9
    }


def _household(randomness: random.Random) -> tuple[str, str]:
    """A shared address and a shared tablet."""
    network = randomness.choice((81, 89, 93, 109, 178))
    address = f"{network}.{randomness.randrange(256)}.{randomness.randrange(256)}.{randomness.randrange(1, 255)}"
    return address, f"browser-{randomness.getrandbits(64):016x}"


def _person(randomness: random.Random, number: int, households: Sequence[tuple[str, str]]) -> Person:
    address, tablet = randomness.choice(households)
    first, last = randomness.choice(_FIRST_NAMES), randomness.choice(_LAST_NAMES)
    browsers = [f"browser-{randomness.getrandbits(64):016x}" for _ in range(randomness.choice((1, 1, 2, 2, 3)))]
    if randomness.random() < 0.2:
        browsers.append(tablet)
    mobile = f"2001:db8:{randomness.getrandbits(16):x}:{randomness.getrandbits(16):x}::{number + 1:x}"
    return Person(
        user_id=f"u-{number:06d}" if randomness.random() < 0.7 else "",
        email=f"{first}.{last}{number}@example.com" if randomness.random() < 0.85 else "",
        phone=f"+49 151 {number:08d}" if randomness.random() < 0.5 else "",
        wallet_address=f"0x{randomness.getrandbits(160):040x}" if randomness.random() < 0.25 else "",
        browser_ids=tuple(browsers),
        ip_addresses=(address, mobile),
        plan=randomness.choice(_PLANS),
        region=randomness.choice(_REGIONS),
    )
