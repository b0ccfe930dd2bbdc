"""Binary values: PostgreSQL reads back what was written."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.adapt import Dumper
from psycopg.pq import Format

from dmp_chassis import binary

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
U = uuid.UUID("0190b5a5-7cf2-7c1e-8000-0123456789ab")


class Raw(bytes):
    """A parameter in PostgreSQL's binary form."""


class _RawDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Raw) -> bytes:
        return bytes(obj)


def read_back(url: str, kind: str, data: bytes) -> object:
    """The value that PostgreSQL makes of this data."""
    with psycopg.connect(url) as connection:
        connection.adapters.register_dumper(Raw, _RawDumper)
        row = connection.execute(f"SELECT %b::{kind}".encode(), (Raw(data),)).fetchone()
    assert row is not None
    return row[0]


def texts(values: Sequence[str]) -> list[bytes]:
    sized = binary.SizedTexts()
    return [sized[value] for value in values]


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("text[]", binary.array(binary.TEXT, []), []),
        ("text[]", binary.array(binary.TEXT, texts(["a", "", 'ü"\\,{}\n', "a"])), ["a", None, 'ü"\\,{}\n', "a"]),
        ("int8[]", binary.array(binary.INT8, [binary.sized_int8(n) for n in (-(2**63), 0, 2**63 - 1)]),
         [-(2**63), 0, 2**63 - 1]),
        ("uuid[]", binary.array(binary.UUID, [binary.sized_uuid(U.bytes)]), [U]),
        ("uuid", binary.uuid_bytes(str(U)), U),
        ("json[]", binary.array(binary.JSON, [binary.sized(b'{"a": 1e400}'.replace(b"1e400", b"[1]")), binary.NULL]),
         [{"a": [1]}, None]),
        ("int4[]", binary.array_header(binary.INT4, 2) + b"\0\0\0\4\0\0\0\7" + b"\0\0\0\4\xff\xff\xff\xff", [7, -1]),
        ("int2[]", binary.array_header(binary.INT2, 1) + b"\0\0\0\2\0\7", [7]),
    ],
)  # fmt: skip
def test_postgresql_reads_what_was_written(database_url: str, kind: str, data: bytes, expected: object) -> None:
    assert read_back(database_url, kind, data) == expected


@pytest.mark.parametrize("moment_us", [0, 1, -1, 1_770_757_859_999_999, -62_135_596_800_000_000])
def test_a_time_keeps_its_microseconds(database_url: str, moment_us: int) -> None:
    data = binary.array(binary.TIMESTAMPTZ, [binary.sized_time(moment_us)])
    assert read_back(database_url, "timestamptz[]", data) == [EPOCH + timedelta(microseconds=moment_us)]


def test_a_text_that_repeats_is_encoded_once() -> None:
    sized = binary.SizedTexts()
    assert sized["click"] is sized["click"]
    assert sized[""] == binary.NULL
