"""Regular expressions of a policy, matched in time that grows only with the length of the text.

Python's own engine tries one way to match after another, holds the whole process meanwhile, and cannot be interrupted:
`(?:a|a)(?:a|a)…c` doubles its time with each part. RE2 does not; in return its dialect has no backreferences and no
look-around, and `\\d`, `\\w`, `\\s` stand for ASCII only.
*Source:* https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import re2

LONGEST: Final = 1000
"""Characters of one pattern."""
MOST: Final = 100
"""Patterns of one type."""
_MEMORY: Final = 1 << 20
"""Bytes that one compiled pattern, or a set of them and what matching it remembers, may take."""


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory
    return options


class TooLargeTogetherError(ValueError):
    """Each pattern is right, but all of them together take more memory than they may."""


class PatternSet:
    """Patterns that are matched together, each against the whole text."""

    __slots__ = ("_set",)

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Each must be one of which `problem_of` says nothing. Raises TooLargeTogetherError."""
        self._set = None
        if patterns:
            self._set = re2.Set.FullMatchSet(_options(_MEMORY * (1 + len(patterns))))
            for pattern in patterns:
                self._set.Add(pattern)
            try:
                self._set.Compile()
            except re2.error:
                raise TooLargeTogetherError from None

    def matches(self, text: str) -> bool:
        """True if one of the patterns matches the whole text."""
        return self._set is not None and bool(self._set.Match(text.encode(errors="surrogatepass")))


def problem_of(pattern: str) -> str:
    """What is wrong with a pattern, empty if nothing is."""
    if len(pattern) > LONGEST:
        return f"must have at most {LONGEST} characters"
    try:
        re2.compile(pattern, _options(_MEMORY))
    except (re2.error, UnicodeEncodeError):
        return "is not a regular expression of RE2, or repeats too much"
    return ""
