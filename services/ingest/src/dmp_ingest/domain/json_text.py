"""Rules about JSON texts: is a text clean, how deep is it, do two texts say the same?

No number becomes a float: it may have any number of digits and any exponent.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple, TypeAlias

_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_UNCLEAN_ESCAPE: Final = re.compile(
    rb"\\u(?:0000|[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F])", re.DOTALL
)
_NUMBER: Final = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", re.ASCII).fullmatch
_LONGEST_EXPONENT: Final = 18


def is_clean_json(text: bytes) -> bool:
    """Whether all strings of a JSON text, keys included, can be stored: no NUL, no lone surrogate, no broken UTF-8.

    It costs a few passes over the bytes; nothing is decoded into objects.
    """
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
    if b"\\u" not in text:
        return True
    # Once escaped backslashes are gone, every backslash begins another escape.
    return _UNCLEAN_ESCAPE.search(text.replace(b"\\\\", b"__")) is None


def is_clean(text: str) -> bool:
    """Whether a text can be stored: it has no NUL character and no lone surrogate."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return "\x00" not in text


def is_deeper(text: bytes, deepest: int) -> bool:
    """Whether the brackets of a JSON text nest deeper than `deepest` levels. Brackets in strings do not count.

    It takes away innermost pairs of brackets, level by level, without recursion. What is left after `deepest` levels is
    too deep.
    """
    if text.count(b"{") + text.count(b"[") <= deepest:
        return False
    left = _STRINGS.sub(b"", text).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(deepest):
        if not left:
            return False
        left = left.replace(b"[]", b"")
    return bool(left)


class _Number(NamedTuple):
    """A number by its value, so that equal numbers are equal however they are written."""

    sign: str
    """`-` or empty."""
    digits: str
    """The significant digits, without zeros at either end."""
    exponent: int | str
    """The power of ten of the last digit."""


_ZERO: Final = _Number("", "", 0)

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | _Number | bool | None"


def _number(text: str) -> _Number:
    match = _NUMBER(text)
    assert match is not None  # the decoder gives numbers only
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", match[4] or "0"
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _ZERO
    significant = digits.rstrip("0")
    if len(exponent.lstrip("+-").lstrip("0")) > _LONGEST_EXPONENT:
        return _Number(sign, text, exponent)
    return _Number(sign, significant, int(exponent) - len(fraction) + len(digits) - len(significant))


def _refuse_constant(_name: str) -> _Number:
    """`NaN` and `Infinity` are not JSON."""
    raise ValueError


_EXACT: Final = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_refuse_constant)


def same_json(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts say the same. The order of keys, white space and escapes do not matter.

    If a key comes twice, the last one counts. Numbers are compared exactly by their value: `1`, `1.0` and `10e-1` are
    one number, and `-0` is `0`. Numbers whose exponent has more than 18 digits are compared as they are written. `1` is
    not `true`, and `0` is not `false`. A text that is not JSON equals only itself.
    """
    if one == other:
        return True
    try:
        return _values_equal(_EXACT.decode(one.decode()), _EXACT.decode(other.decode()))
    except (ValueError, RecursionError):
        return False


def _values_equal(one: _Json, other: _Json) -> bool:
    # `True == 1`, but no number is an int here; a _Number is a tuple, which equals no list.
    return type(one) is type(other) and one == other
