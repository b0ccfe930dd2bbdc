"""Makes an event decodable whose text cannot be decoded, so that its problems can be named by field.

A decoder fails on text that is not valid UTF-8 and on brackets that nest too deeply. Both are replaced by a mark: an
escaped noncharacter that the event does not contain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dmp_ingest.domain.errors import MalformedBodyError

_CANDIDATES: Final = (*range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF, *range(0xE000, 0xF000))
# A pair of surrogates is passed over; what is left of them, and NUL, is unclean.
_ESCAPES: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|(?:\\u(?:0000|[dD][89a-fA-F]..))++)", re.DOTALL
)
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]+")
# A string, also one that does not end; or a run of brackets.
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]++|[\]}]++', re.DOTALL)
_MOST_TOKENS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Both as JSON escapes."""

    unclean: bytes
    """Stands for text with NUL, a lone surrogate or bytes that are not UTF-8."""
    deep: bytes
    """Stands for what is nested too deeply."""

    @classmethod
    def of(cls, text: bytes) -> Marks:
        """Two marks that the text does not contain. Raises MalformedBodyError if it contains all there are."""
        absent = (mark for number in _CANDIDATES if (mark := b"\\u%04x" % number) not in text)
        unclean, deep = next(absent, b""), next(absent, b"")
        if not deep:
            raise MalformedBodyError(problem="its text cannot be read")
        return cls(unclean=unclean, deep=deep)

    def is_in_text(self, text: str) -> bool:
        """Whether a decoded text has the mark of unclean text."""
        return self.unclean.decode("unicode_escape") in text


def mark_unclean(text: bytes, mark: bytes) -> bytes:
    """The JSON text with its unclean parts replaced by a mark."""
    decoded = text.decode("utf-8", errors="surrogateescape")
    if not text.isascii():
        decoded = _NOT_UTF8.sub(lambda _: mark.decode(), decoded)
    return _ESCAPES.sub(lambda match: match[0] if match[2] else match[1] + mark, decoded.encode())


def cut_deep(text: bytes, stand_in: bytes, *, deepest: int) -> bytes:
    """The JSON text with everything that nests deeper than `deepest` levels replaced by a stand-in.

    Raises MalformedBodyError if its brackets do not close, or if it has a million of them and more.
    """
    parts: list[bytes] = []
    level = kept_to = start = 0
    for number, match in enumerate(_TOKENS.finditer(text)):
        if number > _MOST_TOKENS:
            raise MalformedBodyError(problem="it is nested too deeply")
        run = match[0]
        if run[0] in b"[{":
            if level <= deepest < level + len(run):
                start = match.start() + deepest - level
            level += len(run)
        elif run[0] in b"]}":
            if level - len(run) <= deepest < level:
                parts += (text[kept_to:start], stand_in)
                kept_to = match.start() + level - deepest
            level -= len(run)
    if level != 0:
        raise MalformedBodyError(problem="its brackets do not close")
    parts.append(text[kept_to:])
    return b"".join(parts)
