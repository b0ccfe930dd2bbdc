"""Page tokens: the position after which the next page begins, as opaque text for URLs."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, TypeVar

import msgspec

NOT_FROM_US: Final = "must be the token that the page before this one gave"
"""Description of the violation."""

_NUMBER: Final = re.compile("-?[0-9]{1,12}", re.ASCII).fullmatch

_Position = TypeVar("_Position")


def token_of(position: object) -> str:
    """The token of a position: a text, a number, or a tuple of them."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def position_of(token: str, kind: type[_Position]) -> _Position | None:
    """The position of this type that a token names; None for any other text. It may name anything: callers check it."""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def number_token(position: int | None) -> str:
    """The token of a number, which is the number: who asks about minutes may begin at one. Empty for None, the end."""
    return "" if position is None else str(position)


def number_of(token: str) -> int | None:
    """The number of at most 12 digits that a token is; None for any other text."""
    return int(token) if _NUMBER(token) else None
