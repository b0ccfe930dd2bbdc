"""Files as events: NDJSON, CSV and Parquet, plain or gzip. Each event gets an id that the same file always gives.

The id of an event that names none is made from all lines up to it: reading the same file again, in part or renamed,
gives the same ids, and so repeats are known. Two files share ids only as far as they are the same.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

_LARGEST_EVENT: Final = 262_144
"""The server takes no larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Before the next record. offset: bytes of text, or rows. number: lines or rows before. chain: makes the ids."""

    offset: int = 0
    number: int = 0
    chain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event of a file. body: as it is sent; None if it cannot be an event, and `problem` says why.

    place: its line, or row, from 1. raw: as it stood there. after: where the next one begins.
    """

    event_id: str
    body: bytes | None
    place: int
    raw: bytes
    after: Position
    problem: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class RecordMaker:
    """Makes records of objects. source: for events that name none."""

    source: str | None
    position: Position

    def record(self, raw: bytes, offset: int, place: int) -> Record | None:
        """The record of one JSON text; None for a blank line. offset: behind it."""
        if not raw.strip():
            self.position = Position(offset=offset, number=place, chain=self.position.chain)
            return None
        chain = hashlib.sha256(self.position.chain.encode() + b"\n" + raw.strip()).hexdigest()
        self.position = Position(offset=offset, number=place, chain=chain)
        event_id, body, problem = _event(raw.strip(), _id(chain), self.source)
        return Record(event_id=event_id, body=body, place=place, raw=raw.strip(), after=self.position, problem=problem)

    def refused(self, raw: bytes, offset: int, place: int, problem: Mapping[str, list[str]]) -> Record:
        """The record of something that cannot be read as an event."""
        chain = hashlib.sha256(self.position.chain.encode() + b"\n" + raw).hexdigest()
        self.position = Position(offset=offset, number=place, chain=chain)
        return Record(event_id=_id(chain), body=None, place=place, raw=raw, after=self.position, problem=problem)


_NOT_THERE: Final = msgspec.Raw(b"")


class _Head(msgspec.Struct):
    event_id: msgspec.Raw = _NOT_THERE
    source: msgspec.Raw = _NOT_THERE


_HEAD: Final = msgspec.json.Decoder(_Head)
_ANY: Final = msgspec.json.Decoder()


def _event(raw: bytes, made: str, source: str | None) -> tuple[str, bytes | None, dict[str, list[str]]]:
    """Id, body and problem of one JSON text. What is there stays byte for byte; id and source are put in front."""
    if len(raw) > _LARGEST_EVENT:
        return made, None, {"event": [f"is larger than {_LARGEST_EVENT} bytes"]}
    try:
        _ANY.decode(raw)
        head = _HEAD.decode(raw)
    except msgspec.ValidationError:
        return made, None, {"event": ["is not a JSON object"]}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return made, None, {"event": [f"is not JSON: {error}"]}
    front: dict[str, Any] = {}
    event_id = made
    given = bytes(head.event_id)
    if not given:
        front["event_id"] = made
    elif given in (b"null", b'""'):
        return made, None, {"event_id": ["must not be null or empty: leave it out, and it is made"]}
    elif given[:1] != b'"':
        return made, None, {"event_id": ["must be a text"]}
    else:
        event_id = msgspec.json.decode(given, type=str)
    if source is not None and not bytes(head.source):
        front["source"] = source
    if not front:
        return event_id, raw, {}
    inner = raw[1:].lstrip()
    comma = b"" if inner.startswith(b"}") else b","
    return event_id, msgspec.json.encode(front)[:-1] + comma + inner, {}


def _id(chain: str) -> str:
    """A UUID of version 8: its bits are a digest's."""
    bits = int(chain[:32], 16)
    bits = bits & ~(0xF << 76 | 0b11 << 62) | 0x8 << 76 | 0b10 << 62
    return str(uuid.UUID(int=bits))
