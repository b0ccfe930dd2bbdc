"""What a question is, and how answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from dmp_client.errors import UnavailableError
from dmp_client.http import Request

_Answer = TypeVar("_Answer")
Moment = datetime | str
"""A point in time: an aware datetime, or RFC 3339 text."""


class Question(NamedTuple, Generic[_Answer]):
    """A request, and how its answer is read. `read` raises UnavailableError for what is no answer of DMP."""

    request: Request
    read: Callable[[bytes], _Answer]


class Page(NamedTuple, Generic[_Answer]):
    """One page of a list. next_page_token: empty if it is the last one."""

    items: list[_Answer]
    next_page_token: str


def moment_text(moment: Moment) -> str:
    """A time as the server reads it. Raises ValueError for a datetime without a time zone."""
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError("the time has no time zone: use datetime.now(timezone.utc)")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def post(path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> Request:
    """A POST of JSON."""
    return Request(method="POST", path=path, body=msgspec.json.encode(body), repeatable=repeatable)


def reader(kind: type[_Answer]) -> Callable[[bytes], _Answer]:
    """Reads a whole body as an answer of this kind."""
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> _Answer:
        try:
            return decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
            raise UnavailableError("the answer is not one of DMP: is something else at this address?") from None

    return read


def part(name: str, kind: type[_Answer]) -> Callable[[bytes], _Answer]:
    """Reads one field of a body as an answer of this kind."""
    read = reader(dict[str, msgspec.Raw])
    read_part = reader(kind)
    return lambda body: read_part(bytes(read(body).get(name, b"")))


def page_of(name: str, kind: type[_Answer]) -> Callable[[bytes], Page[_Answer]]:
    """Reads a page: the list in the field `name`, and the token of the next page."""
    read = reader(dict[str, msgspec.Raw])
    read_items: Callable[[bytes], list[_Answer]] = reader(list[kind])  # type: ignore[valid-type]
    read_token = reader(str)

    def page(body: bytes) -> Page[_Answer]:
        parts = read(body)
        return Page(read_items(bytes(parts.get(name, b"[]"))), read_token(bytes(parts.get("next_page_token", b'""'))))

    return page
