"""What can be said of JSON text without knowing what it means, and whether two texts say the same. No floats anywhere:
a number has any number of digits and any exponent."""

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
    """Whether no string of this JSON, keys included, has a NUL character, a lone surrogate or bytes that are not UTF-8.

    Exact, in a few passes over the bytes: nothing is decoded into objects.
    """
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
    if b"\\u" not in text:
        return True
    # Without escaped backslashes every backslash begins an escape.
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
    """Whether the brackets of a JSON text nest deeper than this, without recursion; those inside strings do not count.

    Takes away innermost pairs, level by level: a few passes over the bytes, each bracket being taken once.
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
    """A number by its value: significant digits without zeros at either end, and the power of ten of the last one."""

    sign: str
    digits: str
    exponent: int | str


_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | _Number | bool | None"


def _number(text: str) -> _Number:
    match = _NUMBER(text)
    if match is None:
        raise ValueError("not a JSON number")
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", match[4] or "0"
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _Number("", "", 0)
    significant = digits.rstrip("0")
    if len(exponent.lstrip("+-").lstrip("0")) > _LONGEST_EXPONENT:
        return _Number(sign, text, exponent)
    return _Number(sign, significant, int(exponent) - len(fraction) + len(digits) - len(significant))


def _refuse_constant(name: str) -> _Number:
    raise ValueError(f"{name} is not JSON")


_EXACT: Final = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_refuse_constant)


def same_json(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts say the same: whatever the order of keys, white space and escapes. Of a key that comes
    twice the last counts.

    Numbers are compared by their value, exactly: `1`, `1.0` and `10e-1` are one number, `-0` is `0`; with an exponent
    of more than 18 digits, by their spelling. `1` is not `true` and `0` is not `false`. Texts that are not JSON equal
    only themselves.
    """
    if one == other:
        return True
    if not one or not other:
        return False
    try:
        return _values_equal(_EXACT.decode(one.decode()), _EXACT.decode(other.decode()))
    except (ValueError, RecursionError):
        return False


def _values_equal(one: _Json, other: _Json) -> bool:
    # `True == 1`, but no number is an int here; a _Number is a tuple, which equals no list.
    return type(one) is type(other) and one == other
