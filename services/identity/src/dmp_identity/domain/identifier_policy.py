"""The identifier policy: types, strengths, comparison, limits. Read from a mapping, as a TOML file gives it; all
problems at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from dmp_identity.domain.normalisation import Normalisation, normalisation_from_names
from dmp_identity.domain.patterns import MOST, PatternSet, TooLargeTogetherError, problem_of
from dmp_identity.domain.placeholders import SHAPES, PlaceholderRules, squeezed, words_of

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LONGEST: Final = 512
"""In characters: four bytes each still fit a key of PostgreSQL's index."""


class Strength(StrEnum):
    """What a type of identifiers can prove."""

    STRONG = "strong"
    WEAK = "weak"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierType:
    """One type of identifiers. `rank`: its place in the policy file, counted from 0. The rest is explained in
    `policy.toml`.
    """

    name: str
    rank: int
    strength: Strength
    normalise: Normalisation
    max_length: int
    list_name: str
    singular: bool
    show_as_seen: bool
    refuse_rounded: bool
    aliases: frozenset[str]
    placeholders: PlaceholderRules
    max_per_profile: int
    period_days: int
    hub_degree: int
    attribute: bool
    adopt_anonymous: bool
    assist: bool
    identified_first: bool
    max_holders: int

    @property
    def strong(self) -> bool:
        """True if one value in common makes two events one person."""
        return self.strength is Strength.STRONG

    @property
    def attributing(self) -> bool:
        """True if a weak identifier of this type may decide to whom an event or a new strong identifier belongs."""
        return self.attribute or self.adopt_anonymous or self.assist


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierPolicy:
    """All types by name, in order of rank, and the limit on merging large clusters (identifiers on each side)."""

    types: Mapping[str, IdentifierType]
    large_cluster_identifiers: int

    def type_named(self, name: str) -> IdentifierType | None:
        """The type of this name, or of which this is another name; None if there is none."""
        found = self.types.get(name)
        return found or next((kind for kind in self.types.values() if name in kind.aliases), None)


class PolicyError(Exception):
    """The policy is not usable; `problems` has a sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_TYPE_FIELDS: Final[Mapping[str, tuple[type, Any]]] = {
    "strength": (str, None),
    "normalise": (object, "trimmed"),
    "max_length": (int, 255),
    "list_name": (str, ""),
    "singular": (bool, False),
    "show_as_seen": (bool, False),
    "refuse_rounded": (bool, False),
    "aliases": (list, ()),
    "namespaces": (dict, {}),
    "placeholder_shapes": (list, ()),
    "field_names": (list, ()),
    "blocked": (list, ()),
    "blocked_patterns": (list, ()),
    "max_per_profile": (int, 0),
    "period_days": (int, 0),
    "hub_degree": (int, 0),
    "attribute": (bool, False),
    "adopt_anonymous": (bool, False),
    "assist": (bool, False),
    "identified_first": (bool, True),
    "max_holders": (int, 200),
}
_PLACEHOLDER_FIELDS: Final = ("placeholder_shapes", "field_names", "blocked", "blocked_patterns")


def policy_from_mapping(mapping: Mapping[str, Any]) -> IdentifierPolicy:
    """The policy in a mapping of the form that `policy.toml` has. Raises PolicyError with every problem."""
    problems = [
        f"{name} is not a setting"
        for name in mapping
        if name not in {"large_cluster_identifiers", "blocked_everywhere", "placeholder_shapes", "types"}
    ]
    large = mapping.get("large_cluster_identifiers", 1000)
    if type(large) is not int or large < 1:
        problems.append("large_cluster_identifiers must be a whole number of at least 1")
    everywhere = _texts(mapping.get("blocked_everywhere", []), "blocked_everywhere", problems)
    shapes = _shapes(mapping.get("placeholder_shapes", list(SHAPES)), "placeholder_shapes", problems)
    sections = mapping.get("types", {})
    if not isinstance(sections, Mapping) or not sections:
        raise PolicyError([*problems, "types must have at least one type"])
    types = {
        name: made
        for rank, (name, section) in enumerate(sections.items())
        if (made := _type(name, rank, section, _Everywhere(shapes, everywhere), problems)) is not None
    }
    if problems:
        raise PolicyError(problems)
    return IdentifierPolicy(types=types, large_cluster_identifiers=large)


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """What sets values of every type aside."""

    shapes: tuple[str, ...]
    blocked: frozenset[str]


def _type(name: str, rank: int, section: object, everywhere: _Everywhere, problems: list[str]) -> IdentifierType | None:
    where = f"types.{name}"
    before = len(problems)
    if _NAME.fullmatch(name) is None:
        problems.append(f"{where} is not a name of lower-case letters, digits and underscores")
    if not isinstance(section, Mapping):
        problems.append(f"{where} must be a table")
        return None
    problems.extend(f"{where}.{key} is not a setting" for key in section if key not in _TYPE_FIELDS)
    values: dict[str, Any] = {}
    for key, (kind, default) in _TYPE_FIELDS.items():
        values[key] = section.get(key, default)
        if key in section and kind is not object and type(section[key]) is not kind:
            problems.append(f"{where}.{key} must be of type {kind.__name__}")
    if len(problems) > before:
        return None
    if values["strength"] not in {"strong", "weak"}:
        problems.append(f'{where}.strength must be "strong" or "weak"')
    problems.extend(f"{where}.{problem}" for problem in _namespace_problems(values))
    normalise = normalisation_from_names(values["normalise"], values["namespaces"])
    if isinstance(normalise, str):
        problems.append(f"{where}.normalise {normalise}")
    if not 1 <= values["max_length"] <= _LONGEST:
        problems.append(f"{where}.max_length must be from 1 to {_LONGEST}")
    if min(values[key] for key in ("max_per_profile", "period_days", "hub_degree", "max_holders")) < 0:
        problems.append(f"{where}: limits must not be negative")
    placeholders = _placeholders(name, section, everywhere, problems)
    if len(problems) > before or isinstance(normalise, str):
        return None
    return IdentifierType(
        **{
            key: values[key]
            for key in _TYPE_FIELDS
            if key not in {"strength", "normalise", "list_name", "aliases", "namespaces", *_PLACEHOLDER_FIELDS}
        },
        name=name,
        rank=rank,
        strength=Strength(values["strength"]),
        normalise=normalise,
        aliases=_texts(values["aliases"], f"{where}.aliases", problems),
        list_name=values["list_name"] or f"{name}s",
        placeholders=placeholders,
    )


def _namespace_problems(values: Mapping[str, Any]) -> list[str]:
    spaces = values["namespaces"]
    if not all(isinstance(space, str) and _NAME.fullmatch(space) for space in spaces.values()):
        return ["namespaces must be names of lower-case letters, digits and underscores, by source"]
    return ["namespaces are for strong types"] if spaces and values["strength"] != "strong" else []


def _placeholders(
    name: str, section: Mapping[str, Any], everywhere: _Everywhere, problems: list[str]
) -> PlaceholderRules:
    """What the section of a type, and what holds for every type, sets aside."""
    where = f"types.{name}"
    names = _texts(section.get("field_names", []), f"{where}.field_names", problems)
    blocked = everywhere.blocked | _texts(section.get("blocked", []), f"{where}.blocked", problems)
    shapes = everywhere.shapes
    if "placeholder_shapes" in section:
        shapes = _shapes(section["placeholder_shapes"], f"{where}.placeholder_shapes", problems)
    return PlaceholderRules(
        shapes=shapes,
        values=blocked,
        words=words_of(blocked),
        field_names=frozenset(squeezed(field) for field in (name, *names)),
        patterns=_patterns(section.get("blocked_patterns", []), f"{where}.blocked_patterns", problems),
    )


def _shapes(names: object, where: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name in SHAPES for name in names):
        problems.append(f"{where} must be a list of {', '.join(SHAPES)}")
        return ()
    return tuple(name for name in SHAPES if name in names)


def _texts(values: object, where: str, problems: list[str]) -> frozenset[str]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        problems.append(f"{where} must be a list of texts")
        return frozenset()
    return frozenset(value.lower() for value in values) | frozenset(values)


def _patterns(values: object, where: str, problems: list[str]) -> PatternSet:
    before = len(problems)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        problems.append(f"{where} must be a list of texts")
    elif len(values) > MOST:
        problems.append(f"{where} must have at most {MOST} patterns")
    else:
        problems.extend(f"{where}: {value[:100]!r} {what}" for value in values if (what := problem_of(value)))
        if len(problems) == before:
            try:
                return PatternSet(values)
            except TooLargeTogetherError:
                problems.append(f"{where} take too much memory together: fewer or shorter ones are needed")
    return PatternSet()
