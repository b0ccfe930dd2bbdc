"""PostgreSQL's binary form of values, arrays and COPY fields: nothing is escaped here, nothing is parsed there.

*Source:* PostgreSQL's source, `array_recv`, `uuid_recv`, `timestamptz_recv`; its manual, COPY, section "Binary Format".
Numbers in arrays by the million are packed with numpy by the services that have it, after an `array_header`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

INT2, INT4, INT8, TEXT, JSON, TIMESTAMPTZ, UUID = 21, 23, 20, 25, 114, 1184, 2950
"""Object ids of types, as arrays name the type of their elements."""

NULL: Final = b"\xff\xff\xff\xff"
"""A null as an element of an array or as a field of COPY."""
pack_length: Final = Struct("!i").pack
"""What comes before a value that is an element or a field: how many bytes it has."""
POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: what `timestamptz` counts from."""
_ARRAY: Final = Struct("!iiIii").pack
_EMPTY_ARRAY: Final = Struct("!iiI").pack
_SIZED_INT8: Final = Struct("!iq").pack
_UUID_LENGTH: Final = b"\x00\x00\x00\x10"


def sized(data: bytes) -> bytes:
    """A value as an element or a field: its length before it."""
    return pack_length(len(data)) + data


def sized_int8(value: int) -> bytes:
    """An `int8` as an element or a field."""
    return _SIZED_INT8(8, value)


def sized_time(moment_us: int) -> bytes:
    """A `timestamptz`, of microseconds since 1970, as an element or a field."""
    return _SIZED_INT8(8, moment_us - POSTGRES_EPOCH_US)


def sized_uuid(data: bytes) -> bytes:
    """The 16 bytes of a `uuid` as an element or a field."""
    return _UUID_LENGTH + data


def uuid_bytes(text: str) -> bytes:
    """A `uuid` as a value of its own, from its text form."""
    return bytes.fromhex(text.replace("-", ""))


class SizedTexts(dict[str, bytes]):
    """Each text as an element or a field. The empty text is null. What repeats, as types do, is encoded once."""

    def __init__(self) -> None:
        super().__init__({"": NULL})

    def __missing__(self, text: str) -> bytes:
        self[text] = encoded = sized(text.encode())
        return encoded


def array(element_type: int, elements: Sequence[bytes]) -> bytes:
    """An array of elements that have their lengths; one without any has no dimension."""
    if not elements:
        return _EMPTY_ARRAY(0, 0, element_type)
    return _ARRAY(1, 1, element_type, len(elements), 1) + b"".join(elements)


def array_header(element_type: int, length: int) -> bytes:
    """What comes before the elements of an array of one dimension without nulls."""
    return _ARRAY(1, 0, element_type, length, 1)
