"""What an event or a request shows: its identifiers, as the policy parsed them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from dmp_identity.domain.identifier_policy import IdentifierType
from dmp_identity.domain.key_rules import UNNUMBERED
from dmp_identity.domain.refusal_reason import RefusalReason

Key: TypeAlias = tuple[str, str]
"""An identifier as it is compared: its type and its normalised value."""


class ParsedIdentifier(msgspec.Struct, frozen=True, gc=False):
    """One identifier as the policy reads it.

    key: the identifier as it is compared.
    shown: the value as it was sent, trimmed.
    type: None if the policy does not know it.
    refusal_reason: why the identifier is set aside, None if it is not.
    proves: it is strong, and not set aside.
    attributes: it is weak, not set aside, and may say where an event goes that shows nothing strong.
    rules: the number of the rules that made the key.
    former: the keys by other rules in use, where they differ, each with the number of its rules.
    """

    key: Key
    shown: str
    type: IdentifierType | None
    refusal_reason: RefusalReason | None
    proves: bool = False
    attributes: bool = False
    rules: int = UNNUMBERED
    former: tuple[tuple[int, Key], ...] = ()

    def all_keys(self) -> list[Key]:
        """Its keys by all rules that keys were ever made by."""
        return [self.key, *(key for _, key in self.former)]


class Observation(msgspec.Struct, frozen=True, gc=False):
    """An event, or a request, and the identifiers that were seen together in it, each list in order of rank.

    ref: the id of the event or of the request.
    source: who sent it.
    cause: `event` or `contact`.
    strong: strong identifiers.
    weak: weak ones, those that may attribute first.
    refused: those that are set aside.
    """

    ref: str
    source: str
    cause: str
    strong: tuple[ParsedIdentifier, ...]
    weak: tuple[ParsedIdentifier, ...]
    refused: tuple[ParsedIdentifier, ...] = ()


def ranked(identifiers: dict[Key, ParsedIdentifier]) -> tuple[ParsedIdentifier, ...]:
    """The identifiers in order of rank."""
    if len(identifiers) < 2:
        return tuple(identifiers.values())
    return tuple(sorted(identifiers.values(), key=_rank))


def _rank(parsed: ParsedIdentifier) -> tuple[bool, int]:
    kind = parsed.type
    return (True, 0) if kind is None else (not kind.attributing, kind.rank)
