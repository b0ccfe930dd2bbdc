"""What can be said of JSON text and values without knowing what they mean."""

from __future__ import annotations

import re
from typing import Final

_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_SUSPECT_ESCAPES: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def nesting_depth(json: bytes) -> int:
    """How deep the brackets of a JSON text nest, without recursion; brackets inside strings do not count."""
    deepest = level = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", json)):
        level += 1 if bracket in b"{[" else -1
        deepest = max(deepest, level)
    return deepest


def is_surely_clean(json: bytes) -> bool:
    """True only if no text in this JSON can have a NUL character, a lone surrogate or bytes that are not UTF-8."""
    if not json.isascii():
        try:
            json.decode()
        except UnicodeDecodeError:
            return False
    return b"\\u" not in json or _SUSPECT_ESCAPES.search(json) is None


def is_clean(value: object) -> bool:
    """Whether every text in a decoded JSON value, keys included, can be stored: no NUL character, no lone surrogate."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return False
        return "\x00" not in value
    if isinstance(value, dict):
        return all(is_clean(key) and is_clean(item) for key, item in value.items())
    return not isinstance(value, list) or all(map(is_clean, value))
