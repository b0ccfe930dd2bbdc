"""What becomes of stored identifiers when their values are read again by other rules: pure decisions about a few at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import Key, ParsedIdentifier
from dmp_identity.domain.refusal_reason import RefusalReason


class StoredIdentifier(msgspec.Struct, frozen=True):
    """A strong identifier as it is stored. shown: the text to read again: the first spelling seen, as far as it was
    kept. rules: the number of the rules that made the value.
    """

    type: str
    value: str
    shown: str
    profile: int
    rules: int
    first_seen_at_us: int
    ordinal: int
    cause: str
    ref: str
    source: str
    via: Key | None
    shared_at_us: int | None


class Joined(msgspec.Struct, frozen=True):
    """An identifier that becomes part of another one, because by the new rules both have the same value.

    gone: the identifier that stops standing for itself.
    kept: the one that stays.
    value: the value of both by the new rules.
    """

    gone: StoredIdentifier
    kept: StoredIdentifier
    value: str


class Respelling(msgspec.Struct, frozen=True):
    """What to do with some identifiers when their values are read again.

    same: the value stays; only the number of their rules changes.
    moved: those that get a new value, with it.
    joined: those that become part of another one. That one may be among `moved`.
    """

    same: list[StoredIdentifier]
    moved: list[tuple[StoredIdentifier, str]]
    joined: list[Joined]


def new_value(parser: IdentifierParser, type_name: str, text: str) -> str | None:
    """The value of a stored text by the parser's rules; None if it has none any more, or one that is too long."""
    return _value(parser.parse(type_name, text))


def value_of(parser: IdentifierParser, identifier: StoredIdentifier) -> str:
    """The value that an identifier gets: its own if its rules are the parser's, or if nothing better can be read."""
    if identifier.rules == parser.number(identifier.type):
        return identifier.value
    read = parser.parse_again(identifier.type, identifier.shown, identifier.source, identifier.rules)
    return _value(read) or identifier.value


def _value(parsed: ParsedIdentifier | None) -> str | None:
    return (
        None
        if parsed is None or parsed.refusal_reason in {RefusalReason.TOO_LONG, RefusalReason.UNKNOWN_TYPE}
        else parsed.key[1]
    )


def respell(identifiers: Iterable[StoredIdentifier], value: Callable[[StoredIdentifier], str]) -> Respelling:
    """Decides about identifiers of one type, among which are all that have one of the new values already.

    Of several that become one the oldest stays, with its profile and its spelling.
    """
    groups: dict[str, list[StoredIdentifier]] = {}
    for identifier in identifiers:
        groups.setdefault(value(identifier), []).append(identifier)
    respelling = Respelling(same=[], moved=[], joined=[])
    for new, group in groups.items():
        kept, *others = sorted(group, key=lambda one: (one.first_seen_at_us, one.ordinal, one.profile, one.value))
        if kept.value == new:
            respelling.same.append(kept)
        else:
            respelling.moved.append((kept, new))
        respelling.joined.extend(Joined(gone=gone, kept=kept, value=new) for gone in others)
    return respelling
