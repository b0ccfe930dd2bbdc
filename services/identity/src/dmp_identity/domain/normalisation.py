"""How values of identifiers are compared: named steps, one after another, as a policy file lists them.

A key that is stored was made by the steps of its day. Whoever changes what a step makes of a text raises the step's
number here: the text of the rules then differs, and stored keys are read again by `renormalise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from dmp_identity.domain import spelling

Step = Callable[[str], str]

STEPS: Final[Mapping[str, tuple[Step, int]]] = {
    "trim": (spelling.trim, 1),
    "strip_invisible": (spelling.strip_invisible, 1),
    "nfkc": (spelling.nfkc, 1),
    "lower": (spelling.lower, 1),
    "separators": (spelling.separators, 1),
    "slashes": (spelling.slashes, 1),
    "hex_lower": (spelling.hex_lower, 1),
    "bech32_lower": (spelling.bech32_lower, 1),
    "whole_number": (spelling.whole_number, 1),
    "point_zero": (spelling.point_zero, 1),
    "decimal_digits": (spelling.decimal_digits, 1),
    "email_address": (spelling.email_address, 1),
    "trailing_dot": (spelling.trailing_dot, 1),
    "idna_domain": (spelling.idna_domain, 1),
    "phone_scheme": (spelling.phone_scheme, 1),
    "phone_extension": (spelling.phone_extension, 1),
    "double_zero": (spelling.double_zero, 1),
    "ip_port_zone": (spelling.ip_port_zone, 1),
    "ip": (spelling.ip, 1),
}
"""By the names that a policy file uses: what the step does, and the number of its present meaning."""

NAMES_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "trimmed": ("trim",),
    "lower_case": ("trim", "lower"),
    "digits_and_signs": ("trim", "separators"),
    "wallet": ("trim", "hex_lower"),
    "ip": ("trim", "ip"),
}
"""Single names for whole lists, from when a policy had one rule for each type. They remain valid."""

LONGEST_TEXT: Final = 2048
"""In characters. What is longer is not looked at: the length of a value is judged by its key, which takes work."""
_MOST_STEPS: Final = 32
_ROUNDS: Final = 8


class Normalisation(msgspec.Struct, frozen=True):
    """How values of one type are compared.

    steps: in order. namespaces: sources whose values are their own, each with the name that is put before them.
    """

    steps: tuple[str, ...]
    namespaces: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The rules as they are stored beside the keys that they made. Equal texts make equal keys."""
        spaces = (f"@{quote(source)}={space}" for source, space in self.namespaces)
        return " ".join((*map(_stamped, self.steps), *spaces))

    def split(self, text: str) -> tuple[str, str]:
        """The namespace that stands before a value, and the value; if none does, an empty text and the whole text."""
        if not self.namespaces:
            return "", text
        space, colon, value = text.partition(":")
        return (space, value) if colon and any(space == known for _, known in self.namespaces) else ("", text)

    def qualified(self, source: str, text: str) -> str:
        """A source's value with its namespace before it, if it has one."""
        space = dict(self.namespaces).get(source)
        return text if space is None else f"{space}:{text}"

    def key(self, text: str) -> str:
        """The text as it is compared; empty if there is nothing in it.

        The steps are repeated until nothing changes any more, so that the key of a key is the key itself: what one
        step uncovers (`mailto:` around brackets around an address) is there for the steps before it.
        """
        functions = _functions(self.steps)
        for _ in range(_ROUNDS):
            before = text
            for step in functions:
                text = step(text)
            if text == before:
                break
        return text


def normalisation_from_names(given: object, namespaces: Mapping[str, str] | None = None) -> Normalisation | str:
    """The steps that a policy names: a list, or one of the names of before. A sentence if that is not possible."""
    if isinstance(given, str):
        steps: Sequence[object] = NAMES_BEFORE.get(given, (given,))
    elif isinstance(given, (list, tuple)):
        steps = given
    else:
        return "must be a list of steps"
    if not steps or len(steps) > _MOST_STEPS:
        return f"must have 1 to {_MOST_STEPS} steps"
    unknown = [name for name in steps if not isinstance(name, str) or name not in STEPS]
    if unknown:
        return f"must be a list of steps among {', '.join(STEPS)}, or one of {', '.join(NAMES_BEFORE)}"
    return Normalisation(steps=tuple(str(name) for name in steps), namespaces=tuple(sorted((namespaces or {}).items())))


def normalisation_from_text(text: str) -> Normalisation | None:
    """The rules that were stored as a text; None if this release has a step no more, or gives it another meaning."""
    names = {_stamped(name): name for name in STEPS}
    words = text.split(" ")
    steps = [word for word in words if not word.startswith("@")]
    spaces = [word[1:].rpartition("=") for word in words if word.startswith("@")]
    if any(step not in names for step in steps):
        return None
    return Normalisation(
        steps=tuple(names[step] for step in steps),
        namespaces=tuple((unquote(source), space) for source, _, space in spaces),
    )


@cache
def _functions(steps: tuple[str, ...]) -> tuple[Step, ...]:
    return tuple(STEPS[name][0] for name in steps)


def _stamped(name: str) -> str:
    number = STEPS[name][1]
    return name if number == 1 else f"{name}/{number}"
