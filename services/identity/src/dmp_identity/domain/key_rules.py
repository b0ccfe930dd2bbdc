"""By which rules the keys of a type were made: those of today, and those by which some may still be stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.normalisation import NAMES_BEFORE, Normalisation, normalisation_from_text

UNNUMBERED: Final = 0
"""The number of keys that were stored before keys carried a number."""

_DEFAULTS_BEFORE: Final[Mapping[str, str]] = {
    "user_id": "trimmed",
    "email": "lower_case",
    "phone": "digits_and_signs",
    "wallet_address": "wallet",
    "browser_id": "trimmed",
    "ip_address": "ip",
}
"""How the packaged policy compared values at that time."""
_SINGLE: Final = frozenset(NAMES_BEFORE.values())


class StoredRules(msgspec.Struct, frozen=True):
    """Rules of comparison by which keys of one type were made, as they are stored.

    type: the type of identifiers.
    number: each key carries the number of its rules.
    text: the rules in words, as `Normalisation.text` gives them.
    in_use: True if keys made by these rules may be stored. Then a look-up has to try the key by these rules, too.
    """

    type: str
    number: int
    text: str
    in_use: bool


class KeyRules(msgspec.Struct, frozen=True):
    """The rules of comparison of one type, as a parser needs them.

    number: the number of the policy's rules, by which new keys are made.
    others: all other rules by which keys were ever made, each with its number.
    in_use: the numbers of those among `others` by which keys may still be stored.
    """

    number: int = UNNUMBERED
    others: tuple[tuple[int, Normalisation], ...] = ()
    in_use: frozenset[int] = frozenset()

    def of(self, number: int) -> Normalisation | None:
        """The other rules of a number, None if this release has them no more."""
        return dict(self.others).get(number)


def unnumbered_rules(name: str, today: Normalisation) -> str:
    """The rules by which keys of a type were made before they carried a number, as far as it can be known.

    A policy that still has one single rule for the type is taken not to have changed; for another the packaged policy
    of that time is taken.
    """
    if today.steps in _SINGLE:
        return Normalisation(steps=today.steps).text
    return Normalisation(steps=NAMES_BEFORE[_DEFAULTS_BEFORE.get(name, "trimmed")]).text


def rules_to_register(
    policy: IdentifierPolicy, stored: Collection[StoredRules], types: Collection[str]
) -> list[StoredRules]:
    """The rules to store, new or changed, so that those of the policy are stored and in use.

    types: the types of which any key is stored. If there is none, older rules of the type need not be in use.
    """
    changes: list[StoredRules] = []
    for name, kind in policy.types.items():
        today = kind.normalise.text
        known = {rules.text: rules for rules in stored if rules.type == name}
        if not known:
            before = unnumbered_rules(name, kind.normalise)
            known[before] = StoredRules(type=name, number=UNNUMBERED, text=before, in_use=name in types)
            if before != today:
                changes.append(known[before])
        if today not in known:
            number = max(rules.number for rules in known.values()) + 1
            known[today] = StoredRules(type=name, number=number, text=today, in_use=False)
        if not known[today].in_use or known[today] not in stored:
            changes.append(msgspec.structs.replace(known[today], in_use=True))
    return changes


def key_rules(policy: IdentifierPolicy, stored: Iterable[StoredRules]) -> dict[str, KeyRules]:
    """For each type of the policy its rules, from everything that is stored. Rules that this release has no more are
    left out: their keys are found only once they have been read again.
    """
    of_type: dict[str, list[StoredRules]] = {}
    for rules in stored:
        of_type.setdefault(rules.type, []).append(rules)
    made = {}
    for name, kind in policy.types.items():
        known = of_type.get(name, [])
        number = next((rules.number for rules in known if rules.text == kind.normalise.text), UNNUMBERED)
        others = [rules for rules in sorted(known, key=lambda rules: rules.number) if rules.number != number]
        made[name] = KeyRules(
            number=number,
            others=tuple(
                (rules.number, read) for rules in others if (read := normalisation_from_text(rules.text)) is not None
            ),
            in_use=frozenset(rules.number for rules in others if rules.in_use),
        )
    return made
