"""Puts marks into a body that cannot be decoded as it is, so that it can be decoded and the fields be named.

Two things keep a decoder from a body: text that no UTF-8 can carry, and brackets that nest deeper than it follows. Both
are replaced by a mark, an escaped noncharacter that the body does not contain. What has a mark is refused; the rest is
read as if it had come alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dmp_ingest.domain.errors import MalformedBodyError
from dmp_ingest.domain.json_text import brackets

_CANDIDATES: Final = (*range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF, *range(0xE000, 0xE040))
# A pair of surrogates is passed over; what is left of them, and NUL, is unclean.
_ESCAPES: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|(?:\\u(?:0000|[dD][89a-fA-F]..))++)", re.DOTALL
)
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Both as JSON escapes."""

    unclean: bytes
    """Stands for text with NUL, a lone surrogate or bytes that are not UTF-8."""
    deep: bytes
    """Stands for what is nested too deeply."""

    @classmethod
    def of(cls, body: bytes) -> Marks:
        """Two marks that the body does not contain. Raises MalformedBodyError if it contains all there are."""
        absent = (mark for number in _CANDIDATES if (mark := b"\\u%04x" % number) not in body)
        unclean, deep = next(absent, b""), next(absent, b"")
        if not deep:
            raise MalformedBodyError(problem="its text cannot be read")
        return cls(unclean=unclean, deep=deep)

    def is_in_text(self, text: str) -> bool:
        """Whether a decoded text has the mark of unclean text."""
        return self.unclean.decode("unicode_escape") in text


def mark_unclean(body: bytes, mark: bytes) -> bytes:
    """The body with its unclean text replaced by a mark."""
    text = body.decode("utf-8", errors="surrogateescape")
    if not body.isascii():
        text = _NOT_UTF8.sub(lambda _: mark.decode(), text)
    return _ESCAPES.sub(lambda match: match[0] if match[2] else match[1] + mark, text.encode())


def mark_deep(text: bytes, mark: bytes, *, deepest: int) -> bytes:
    """The text with everything that nests deeper than `deepest` levels replaced by a string that is the mark.

    Raises MalformedBodyError if its brackets do not close.
    """
    parts: list[bytes] = []
    kept_to, start, before, end = 0, 0, 0, 0
    for position, level in brackets(text):
        if level == deepest + 1 and before == deepest:
            start = position
        elif level == deepest and before == deepest + 1:
            parts += (text[kept_to:start], b'"', mark, b'"')
            kept_to = position + 1
        before, end = level, position
    if before != 0 or end == 0:
        raise MalformedBodyError(problem="its brackets do not close")
    parts.append(text[kept_to:])
    return b"".join(parts)
