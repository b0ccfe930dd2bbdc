"""Parses identifiers by the policy: what is the key of a value, and why does it prove nothing?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.domain.identifier_policy import IdentifierPolicy, IdentifierType
from dmp_identity.domain.kept_entries import KeptEntries, Room
from dmp_identity.domain.key_rules import UNNUMBERED, KeyRules
from dmp_identity.domain.normalisation import LONGEST_TEXT, Normalisation
from dmp_identity.domain.parsed_identifier import Key, Observation, ParsedIdentifier, ranked
from dmp_identity.domain.refusal_reason import RefusalReason

_KEPT: Final = 400_000
_LONGEST_KEPT: Final = 512
_KEPT_CHARACTERS: Final = 1 << 25
"""Of all texts together: a character takes up to four bytes, and the parsed identifier may have it twice more."""
_UNREADABLE_LENGTH: Final = 128
_ROUNDED: Final = re.compile(r"[+-]?\d(?:(?:[.,]\d+)?[eE]\+|[.,]\d+[eE])\d{1,3}")


class IdentifierParser:
    """Reads identifiers by a policy, remembering the last ones: sources repeat themselves."""

    def __init__(self, policy: IdentifierPolicy) -> None:
        self.policy = policy
        self.has_namespaces = any(kind.normalise.namespaces for kind in policy.types.values())
        self._rules: Mapping[str, KeyRules] = {}
        self._in_use: Mapping[str, frozenset[int]] = {}
        room = Room(_KEPT, _KEPT_CHARACTERS)
        self._kept: dict[str, KeptEntries[str, ParsedIdentifier]] = {
            name: KeptEntries(room, len) for name in policy.types
        }

    def use(self, rules: Mapping[str, KeyRules]) -> None:
        """From now on reads keys by these rules, too: those of each type by which keys are stored."""
        if rules != self._rules:
            self._rules = rules
            self._in_use = {name: of_type.in_use for name, of_type in rules.items() if of_type.in_use}
            for kept in self._kept.values():
                kept.clear()

    @property
    def other_rules_in_use(self) -> Mapping[str, frozenset[int]]:
        """The rules, other than the policy's, by which keys may be stored: their numbers, by type. Types without any
        are left out, so it is empty once all keys are stored by the policy's rules.
        """
        return self._in_use

    def number(self, type_name: str) -> int:
        """The number of the rules by which the type's keys are made now."""
        rules = self._rules.get(type_name)
        return UNNUMBERED if rules is None else rules.number

    def parse(self, type_name: str, text: str) -> ParsedIdentifier | None:
        """The identifier, None if there is no value in the text."""
        try:
            return self._kept[type_name].latest[text]
        except KeyError:
            return self._parse_anew(type_name, text)

    def parse_columns(
        self, texts: Sequence[str], types: Sequence[int], values: Sequence[int]
    ) -> list[ParsedIdentifier | None]:
        """What `parse` says of each type and value; the columns have positions among the texts."""
        known = {position: self._latest(texts[position]) for position in set(types)}
        identifiers: list[ParsedIdentifier | None] = []
        for kind, value in zip(types, values, strict=True):
            try:
                identifiers.append(known[kind][texts[value]])
            except KeyError:
                identifiers.append(self.parse(texts[kind], texts[value]))
        return identifiers

    def parse_columns_of_sources(
        self, texts: Sequence[str], types: Sequence[int], values: Sequence[int], sources: Iterable[int]
    ) -> list[ParsedIdentifier | None]:
        """As `parse_columns`, for a policy with namespaces; `sources`: for each value the source that showed it."""
        return [
            self.parse(texts[kind], self.qualified(texts[kind], texts[source], texts[value]))
            for kind, value, source in zip(types, values, sources, strict=True)
        ]

    def qualified(self, type_name: str, source: str, text: str) -> str:
        """A source's value with its namespace before it, if the type has one for that source."""
        kind = self.policy.types.get(type_name)
        return text if kind is None or not text.strip() else kind.normalise.qualified(source, text)

    def parse_again(self, type_name: str, text: str, source: str, rules: int) -> ParsedIdentifier | None:
        """A stored text, read anew: the namespace that it had by the rules of that number gives way to today's."""
        known = self._rules.get(type_name)
        before = None if known is None else known.of(rules)
        if before is not None:
            text = before.split(text)[1] if source in dict(before.namespaces) else text
            text = self.qualified(type_name, source, text)
        return self.parse(type_name, text)

    def _latest(self, type_name: str) -> Mapping[str, ParsedIdentifier]:
        kept = self._kept.get(type_name)
        return {} if kept is None else kept.latest

    def _parse_anew(self, type_name: str, text: str) -> ParsedIdentifier | None:
        kind = self.policy.types.get(type_name)
        if kind is None:
            # A type that a stranger made up is not remembered.
            return _unknown(type_name, text)
        kept = self._kept[type_name]
        parsed = kept.get(text) or _parse(kind, text, self._rules.get(type_name))
        # Nor is a text that nobody could have as an identifier.
        if parsed is not None and len(text) <= _LONGEST_KEPT:
            kept.put(text, parsed)
        return parsed

    def compared(self, type_name: str, text: str) -> str:
        """A value as it is compared with others of its type."""
        parsed = self.parse(type_name, text)
        return text if parsed is None else parsed.key[1]

    def observation(self, *, ref: str, source: str, cause: str, identifiers: list[ParsedIdentifier]) -> Observation:
        """The identifiers of one event, each once, sorted into strong, weak and refused ones."""
        strong: dict[Key, ParsedIdentifier] = {}
        weak: dict[Key, ParsedIdentifier] = {}
        refused: dict[Key, ParsedIdentifier] = {}
        for parsed in identifiers:
            if parsed.proves:
                strong.setdefault(parsed.key, parsed)
            elif parsed.refusal_reason is not None:
                refused.setdefault(parsed.key, parsed)
            else:
                weak.setdefault(parsed.key, parsed)
        return Observation(
            ref=ref,
            source=source,
            cause=cause,
            strong=ranked(strong),
            weak=ranked(weak),
            refused=ranked(refused),
        )

    def observations(self, batch: EventBatch, positions: Iterable[int]) -> list[Observation]:
        """What the events of a batch at these positions show."""
        return [
            self.observation(
                ref=batch.event_ids[position],
                source=batch.sources[position],
                cause="event",
                identifiers=batch.identifiers[position],
            )
            for position in positions
        ]


def _unknown(type_name: str, text: str) -> ParsedIdentifier | None:
    shown = text.strip()
    if not shown:
        return None
    key = _unreadable(type_name, shown)
    return ParsedIdentifier(
        key=key, shown=shown[:_UNREADABLE_LENGTH], type=None, refusal_reason=RefusalReason.UNKNOWN_TYPE
    )


def _parse(kind: IdentifierType, text: str, rules: KeyRules | None) -> ParsedIdentifier | None:
    shown = text.strip()
    space, given = kind.normalise.split(shown)
    # The length is judged after normalising, but no text is normalised that no source would send.
    normalized = kind.normalise.key(given) if len(shown) <= LONGEST_TEXT else shown
    if not normalized:
        return None
    key = (kind.name, f"{space}:{normalized}" if space else normalized)
    if len(key[1]) > kind.max_length:
        return ParsedIdentifier(
            key=_unreadable(kind.name, shown),
            shown=shown[:_UNREADABLE_LENGTH],
            type=kind,
            refusal_reason=RefusalReason.TOO_LONG,
        )
    placeholder = kind.placeholders.verdict(normalized, given)
    refusal_reason = None if placeholder is None else RefusalReason(placeholder)
    if kind.refuse_rounded and _ROUNDED.fullmatch(given.strip()):
        refusal_reason = RefusalReason.ROUNDED
    return ParsedIdentifier(
        key=key,
        shown=shown if kind.show_as_seen else key[1],
        type=kind,
        refusal_reason=refusal_reason,
        proves=refusal_reason is None and kind.strong,
        attributes=refusal_reason is None and kind.attribute and not kind.strong,
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
