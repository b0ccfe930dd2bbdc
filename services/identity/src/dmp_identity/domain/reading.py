"""What an event or a request shows: identifiers as they were sent, read by the policy."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from dmp_identity.domain.identifier_policy import IdentifierPolicy, IdentifierType
from dmp_identity.domain.key_rules import UNNUMBERED, KeyRules
from dmp_identity.domain.normalisation import LONGEST_TEXT, Normalisation
from dmp_identity.domain.placeholders import LISTED, SHAPES

Key: TypeAlias = tuple[str, str]
"""An identifier as it is compared: its type and its normalised value."""

_KEPT: Final = 400_000
_LONGEST_KEPT: Final = 512
_KEPT_CHARACTERS: Final = 1 << 25
"""Of all texts together: a character takes up to four bytes, and its reading may have it twice more."""
_UNREADABLE_LENGTH: Final = 128
_ROUNDED: Final = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+\d{1,3}")


class Rule(StrEnum):
    """Why evidence was not followed. Each refusal is kept for review under one of these."""

    BLOCKED = "blocked"
    """The policy's list says that the value names nobody."""
    NO_LETTER_OR_DIGIT = "no_letter_or_digit"
    """The value has neither letter nor digit."""
    UNFILLED_MACRO = "unfilled_macro"
    """The value is a macro that nobody filled."""
    ONE_CHARACTER = "one_character"
    """The value is one character, again and again."""
    FIELD_NAME = "field_name"
    """The value is the name of its own field."""
    EMAIL_OF_NOBODY = "email_of_nobody"
    """The value is an e-mail address with a placeholder on both sides of the `@`."""
    TOO_LONG = "too_long"
    """The value, as it is compared, is longer than its type allows."""
    ROUNDED = "rounded"
    """A spreadsheet wrote the number with an exponent: its last digits are lost."""
    UNKNOWN_TYPE = "unknown_type"
    """The policy does not know the type."""
    SHARED = "shared"
    """The value came with so many others that it belongs to many people."""
    LIMIT = "limit"
    """The person has as many values of the type as the policy allows."""
    LARGE_CLUSTERS = "large_clusters"
    """Two people that both have very many identifiers would have become one."""
    NEVER_MERGE = "never_merge"
    """Somebody said that the two are different people."""
    WOULD_MERGE = "would_merge"
    """No refusal: reading stored values again by other rules would make the two one person."""
    WOULD_SPLIT = "would_split"
    """No refusal: reading stored values again by other rules would take back what made the two one person."""


PLACEHOLDERS: Final = frozenset(map(Rule, (LISTED, *SHAPES)))
"""The rules that say that a value names nobody."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One identifier as the policy reads it.

    key: as compared. shown: as it was sent, trimmed. type: None if the policy does not know it. flaw: why it proves
    nothing, None if it does. proves: it is strong, and without a flaw. attributes: it is weak, without a flaw, and may
    say where an event goes that shows nothing strong. rules: the number of the rules that made the key. former: what
    the key is by other rules that keys were made by, if it is another one, with their numbers.
    """

    key: Key
    shown: str
    type: IdentifierType | None
    flaw: Rule | None
    proves: bool = False
    attributes: bool = False
    rules: int = UNNUMBERED
    former: tuple[tuple[int, Key], ...] = ()

    def all_keys(self) -> list[Key]:
        """Its keys by all rules that keys were ever made by."""
        return [self.key, *(key for _, key in self.former)]


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """An event, or a request, and the identifiers that were seen together in it, each list in order of rank.

    ref: the event's id or the request's. hints: weak ones, those that may attribute first. flawed: those that prove
    nothing.
    """

    ref: str
    source: str
    cause: str
    strong: tuple[Reading, ...]
    hints: tuple[Reading, ...]
    flawed: tuple[Reading, ...] = ()


class PolicyReader:
    """Reads identifiers by a policy, remembering the last ones: sources repeat themselves."""

    def __init__(self, policy: IdentifierPolicy) -> None:
        self.policy = policy
        self.has_namespaces = any(kind.normalise.namespaces for kind in policy.types.values())
        self._rules: Mapping[str, KeyRules] = {}
        self._several = False
        self._known: dict[str, dict[str, Reading | None]] = {}
        self._known_before: dict[str, dict[str, Reading | None]] = {}
        self._count = 0
        self._characters = 0

    def use(self, rules: Mapping[str, KeyRules]) -> None:
        """From now on reads keys by these rules, too: those of each type by which keys are stored."""
        if rules != self._rules:
            self._rules = rules
            self._several = any(of_type.in_use for of_type in rules.values())
            self._known, self._known_before, self._count, self._characters = {}, {}, 0, 0

    @property
    def reads_several(self) -> bool:
        """True while keys may be stored that were made by other rules than the policy's."""
        return self._several

    def in_use(self, type_name: str) -> frozenset[int]:
        """The numbers of other rules of the type by which keys may be stored."""
        rules = self._rules.get(type_name)
        return frozenset() if rules is None else rules.in_use

    def number(self, type_name: str) -> int:
        """The number of the rules by which the type's keys are made now."""
        rules = self._rules.get(type_name)
        return UNNUMBERED if rules is None else rules.number

    def read(self, type_name: str, text: str) -> Reading | None:
        """The identifier, None if there is no value in the text."""
        try:
            return self._known[type_name][text]
        except KeyError:
            return self._add(type_name, text)

    def read_columns(self, texts: Sequence[str], types: Sequence[int], values: Sequence[int]) -> list[Reading | None]:
        """What `read` says of each type and value; the columns have positions among the texts."""
        known = {position: self._known.get(texts[position], {}) for position in set(types)}
        readings = []
        for kind, value in zip(types, values, strict=True):
            try:
                readings.append(known[kind][texts[value]])
            except KeyError:
                readings.append(self.read(texts[kind], texts[value]))
        return readings

    def read_columns_of_sources(
        self, texts: Sequence[str], types: Sequence[int], values: Sequence[int], sources: Iterable[int]
    ) -> list[Reading | None]:
        """As `read_columns`, for a policy with namespaces; `sources`: for each value the source that showed it."""
        return [
            self.read(texts[kind], self.qualified(texts[kind], texts[source], texts[value]))
            for kind, value, source in zip(types, values, sources, strict=True)
        ]

    def qualified(self, type_name: str, source: str, text: str) -> str:
        """A source's value with its namespace before it, if the type has one for that source."""
        kind = self.policy.types.get(type_name)
        return text if kind is None or not text.strip() else kind.normalise.qualified(source, text)

    def read_again(self, type_name: str, text: str, source: str, rules: int) -> Reading | None:
        """A stored text, read anew: the namespace that it had by the rules of that number gives way to today's."""
        known = self._rules.get(type_name)
        before = None if known is None else known.of(rules)
        if before is not None:
            text = before.split(text)[1] if source in dict(before.namespaces) else text
            text = self.qualified(type_name, source, text)
        return self.read(type_name, text)

    def _add(self, type_name: str, text: str) -> Reading | None:
        if self._count >= _KEPT // 2 or self._characters >= _KEPT_CHARACTERS // 2:
            self._known, self._known_before = {}, self._known
            self._count = self._characters = 0
        before = self._known_before.get(type_name)
        if before is not None and text in before:
            reading = before[text]
        else:
            kind = self.policy.types.get(type_name)
            reading = _unknown(type_name, text) if kind is None else _read(kind, text, self._rules.get(type_name))
        # Neither a text that nobody could have as an identifier nor a type that a stranger made up is remembered.
        if len(text) <= _LONGEST_KEPT and type_name in self.policy.types:
            self._known.setdefault(type_name, {})[text] = reading
            self._count += 1
            self._characters += len(text)
        return reading

    def compared(self, type_name: str, text: str) -> str:
        """A value as it is compared with others of its type."""
        reading = self.read(type_name, text)
        return text if reading is None else reading.key[1]

    def sighting(self, *, ref: str, source: str, cause: str, readings: list[Reading]) -> Sighting:
        """The identifiers of one event, each once, sorted into strong ones, hints and flawed ones."""
        strong: dict[Key, Reading] = {}
        hints: dict[Key, Reading] = {}
        flawed: dict[Key, Reading] = {}
        for reading in readings:
            if reading.proves:
                strong.setdefault(reading.key, reading)
            elif reading.flaw is not None:
                flawed.setdefault(reading.key, reading)
            else:
                hints.setdefault(reading.key, reading)
        return Sighting(
            ref=ref,
            source=source,
            cause=cause,
            strong=ranked(strong),
            hints=ranked(hints),
            flawed=ranked(flawed),
        )


def _unknown(type_name: str, text: str) -> Reading | None:
    shown = text.strip()
    if not shown:
        return None
    key = _unreadable(type_name, shown)
    return Reading(key=key, shown=shown[:_UNREADABLE_LENGTH], type=None, flaw=Rule.UNKNOWN_TYPE)


def _read(kind: IdentifierType, text: str, rules: KeyRules | None) -> Reading | None:
    shown = text.strip()
    space, given = kind.normalise.split(shown)
    # The length is judged after normalising, but no text is normalised that no source would send.
    normalized = kind.normalise.key(given) if len(shown) <= LONGEST_TEXT else shown
    if not normalized:
        return None
    key = (kind.name, f"{space}:{normalized}" if space else normalized)
    if len(key[1]) > kind.max_length:
        return Reading(
            key=_unreadable(kind.name, shown), shown=shown[:_UNREADABLE_LENGTH], type=kind, flaw=Rule.TOO_LONG
        )
    placeholder = kind.placeholders.verdict(normalized, given)
    flaw = None if placeholder is None else Rule(placeholder)
    if kind.refuse_rounded and _ROUNDED.fullmatch(given.strip()):
        flaw = Rule.ROUNDED
    return Reading(
        key=key,
        shown=shown if kind.show_as_seen else key[1],
        type=kind,
        flaw=flaw,
        proves=flaw is None and kind.strong,
        attributes=flaw is None and kind.attribute and not kind.strong,
        rules=UNNUMBERED if rules is None else rules.number,
        former=() if rules is None else _former_keys(kind, (space, given), key, rules.others),
    )


def _former_keys(
    kind: IdentifierType, given: tuple[str, str], key: Key, others: Sequence[tuple[int, Normalisation]]
) -> tuple[tuple[int, Key], ...]:
    """The keys by other rules; those of the first release were cut to the longest length. given: a namespace, empty if
    none, and the text. Other rules may not know the namespace.
    """
    space, text = given
    found = []
    for number, rules in others:
        value = rules.key(text)[: kind.max_length]
        if value and space and any(space == known for _, known in rules.namespaces):
            value = f"{space}:{value}"
        found.append((number, (kind.name, value)))
    return tuple((number, former) for number, former in found if former != key and former[1])


def _unreadable(type_name: str, shown: str) -> Key:
    """A key of bounded length for a value that proves nothing but still has to be told from others."""
    if len(type_name) + len(shown) <= _UNREADABLE_LENGTH:
        return (type_name, shown)
    return (type_name[:64], "sha256:" + hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest())


def ranked(readings: dict[Key, Reading]) -> tuple[Reading, ...]:
    """The readings in order of rank."""
    if len(readings) < 2:
        return tuple(readings.values())
    return tuple(sorted(readings.values(), key=_rank))


def _rank(reading: Reading) -> tuple[bool, int]:
    kind = reading.type
    return (True, 0) if kind is None else (not kind.attributing, kind.rank)
