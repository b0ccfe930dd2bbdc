"""Whether a regular expression is sure to be quick.

Python's engine tries one way to match after another and cannot be interrupted: `(a+)+b` keeps it busy for years with
forty characters, and with it the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import _parser  # type: ignore[attr-defined]  # the only one who knows how Python reads a pattern
from typing import Any, Final

_MOST_OPEN_REPEATS: Final = 3
"""Each of them multiplies the ways to match by the length of the text."""
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def is_quick(pattern: str) -> bool:
    """False if something with a choice in it is repeated, or if too much is repeated at will. The pattern is valid."""
    open_repeats, _, nested = _measure(_parser.parse(pattern))
    return not nested and open_repeats <= _MOST_OPEN_REPEATS


def _measure(parsed: Any) -> tuple[int, bool, bool]:  # noqa: ANN401  # the parser has no types
    """How many repeats at will it has, whether it can match in several ways, and whether such a part is repeated."""
    open_repeats, choice, nested = 0, False, False
    for operation, argument in parsed:
        name = str(operation)
        inside = [_measure(part) for part in _parts(argument)]
        choice_inside = any(part[1] for part in inside)
        open_repeats += sum(part[0] for part in inside)
        nested = nested or any(part[2] for part in inside)
        choice = choice or choice_inside or name == "BRANCH"
        if name in _REPEATS:
            least, most, _ = argument
            nested = nested or (most > 1 and choice_inside)
            choice = choice or most != least
            open_repeats += most > 1 and most != least
    return open_repeats, choice, nested


def _parts(argument: Any) -> Iterator[Any]:  # noqa: ANN401  # the parser has no types
    """The patterns inside an argument of an operation."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from _parts(item)
