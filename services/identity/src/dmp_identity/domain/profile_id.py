"""The public form of profile ids: `user_` and the number in base 36."""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PUBLIC: Final = re.compile(r"user_(0|[1-9a-z][0-9a-z]{0,12})")
_LARGEST: Final = 2**63 - 1


def public_id(profile_id: int) -> str:
    """The public id of a profile; `profile_id` is positive."""
    digits = ""
    while profile_id:
        profile_id, digit = divmod(profile_id, 36)
        digits = _DIGITS[digit] + digits
    return f"user_{digits}"


def profile_id_from_public(text: str) -> int | None:
    """The number of a public id in its only spelling, None if the text cannot be one."""
    match = _PUBLIC.fullmatch(text)
    if match is None:
        return None
    number = int(match[1], 36)
    return number if 0 < number <= _LARGEST else None
