"""Reads `{"user_metadata": {user: {attribute: value}}, "ts": "…"}` into chunks of a reference table.

Large bodies are read by a process of their own (`python -m dmp_stats.api.reference_body`): reading a million users
keeps an interpreter busy for seconds, and nothing else would be answered meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final

import msgspec

from dmp_chassis.instants import instant_problem, parse_instant
from dmp_stats.domain.errors import InvalidRequestError, MalformedBodyError, TooLargeError, Violation
from dmp_stats.domain.reference import (
    CHUNK_USERS,
    LONGEST_NAME,
    LONGEST_USER_ID,
    LONGEST_VALUE,
    MOST_ATTRIBUTES,
    pack_chunk,
)

LARGEST_BODY: Final = 64 * 1024 * 1024
_INLINE_BYTES: Final = 256 * 1024
_MOST_VIOLATIONS: Final = 50


class ReadBody(msgspec.Struct, frozen=True, kw_only=True):
    """A body that was read: its `ts` and its users as chunks; or what is wrong with it."""

    ts: datetime | None = None
    payloads: list[bytes] = []
    violations: list[tuple[str, str]] = []
    malformed: str = ""
    too_many: int = 0


class _Body(msgspec.Struct):
    user_metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ts: Any = msgspec.UNSET


_BODY: Final = msgspec.json.Decoder(_Body)
_USERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXTS: Final = msgspec.json.Decoder(dict[str, str])
_ANYTHING: Final = msgspec.json.Decoder()
_PIPE: Final = msgspec.msgpack.Encoder()
_FROM_PIPE: Final = msgspec.msgpack.Decoder(ReadBody)


async def read_reference_body(data: bytes, *, is_change: bool, most_users: int) -> ReadBody:
    """Reads a body, in another process if it is large.

    Raises MalformedBodyError, InvalidRequestError with the first 50 problems, or TooLargeError.
    """
    if len(data) <= _INLINE_BYTES:
        result = parse(data, is_change=is_change, most_users=most_users)
    else:
        result = await _parse_elsewhere(data, is_change=is_change, most_users=most_users)
    if result.malformed:
        raise MalformedBodyError(problem=result.malformed)
    if result.too_many:
        raise TooLargeError(limit=result.too_many, unit="users")
    if result.violations:
        raise InvalidRequestError([Violation(field=f, description=d) for f, d in result.violations])
    return result


def parse(data: bytes, *, is_change: bool, most_users: int) -> ReadBody:
    """Reads a body here and now. Of a user, or an attribute of a user, that comes twice the last counts."""
    try:
        body = _BODY.decode(data)
    except RecursionError:
        return ReadBody(malformed="it is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shape = isinstance(error, msgspec.ValidationError)
        return ReadBody(malformed="it is not a JSON object" if shape else "it is not valid JSON in UTF-8")
    violations: list[tuple[str, str]] = []
    ts = _read_ts(body.ts, violations)
    if isinstance(body.user_metadata, msgspec.UnsetType):
        return ReadBody(violations=[*violations, ("user_metadata", "is required")])
    try:
        users = _USERS.decode(body.user_metadata)
        if len(users) > most_users:
            return ReadBody(too_many=most_users)
        payloads = list(_chunks(users, is_change, violations))
    except RecursionError:
        return ReadBody(malformed="it is nested too deeply")
    except msgspec.ValidationError:
        violations.append(("user_metadata", "must be an object of users"))
        payloads = []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ReadBody(malformed="it is not valid JSON in UTF-8")
    if violations:
        return ReadBody(violations=violations[:_MOST_VIOLATIONS])
    return ReadBody(ts=ts, payloads=payloads)


def _read_ts(value: object, violations: list[tuple[str, str]]) -> datetime | None:
    ts = parse_instant(value) if isinstance(value, str) else None
    if value is msgspec.UNSET or value is None:
        violations.append(("ts", "is required"))
    elif ts is None:
        violations.append(("ts", instant_problem(str(value) if isinstance(value, (str, int)) else "")))
    return ts


def _chunks(users: dict[str, msgspec.Raw], is_change: bool, violations: list[tuple[str, str]]) -> Iterator[bytes]:
    entries = iter(users.items())
    while part := list(islice(entries, CHUNK_USERS)):
        read: dict[str, Mapping[str, str | None]] = {}
        removed: list[str] = []
        for user_id, raw in part:
            try:
                # Nearly every user has nothing but texts: one pass, in C.
                read[user_id] = _TEXTS.decode(raw)
            except msgspec.ValidationError:
                attributes = _read_anything(user_id, raw, is_change, violations)
                if attributes is None:
                    removed.append(user_id)
                else:
                    read[user_id] = attributes
        if not _is_clean([user_id for user_id, _ in part], read.values()):
            _name_problems([user_id for user_id, _ in part], read, violations)
        if len(violations) >= _MOST_VIOLATIONS:
            return
        yield pack_chunk(read, is_change=is_change, removed=removed)


def _is_clean(user_ids: Sequence[str], rows: Collection[Mapping[str, str | None]]) -> bool:
    """True if there is nothing to object to: looks at each different name and value once."""
    names = set(chain.from_iterable(rows))
    values = set(chain.from_iterable(row.values() for row in rows)) - {None}
    return (
        all(map(str.strip, user_ids))
        and max(map(len, user_ids)) <= LONGEST_USER_ID
        and max(map(len, rows), default=0) <= MOST_ATTRIBUTES
        and all(map(str.strip, names))
        and max(map(len, names), default=0) <= LONGEST_NAME
        and max((len(value) for value in values if value is not None), default=0) <= LONGEST_VALUE
        and not any("\0" in text for texts in (user_ids, names, values) for text in texts if text is not None)
    )


def _name_problems(
    user_ids: Sequence[str], read: Mapping[str, Mapping[str, str | None]], violations: list[tuple[str, str]]
) -> None:
    for user_id in user_ids:
        if not user_id.strip() or len(user_id) > LONGEST_USER_ID or "\0" in user_id:
            violations.append((_path(user_id), f"must be a user id of 1 to {LONGEST_USER_ID} characters"))
        attributes = read.get(user_id, {})
        if len(attributes) > MOST_ATTRIBUTES:
            violations.append((_path(user_id), f"must have at most {MOST_ATTRIBUTES} attributes"))
        for name, text in attributes.items():
            if not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
                violations.append((_path(user_id, name), f"must be a name of 1 to {LONGEST_NAME} characters"))
            if text is not None and (len(text) > LONGEST_VALUE or "\0" in text):
                violations.append(
                    (_path(user_id, name), f"must have at most {LONGEST_VALUE} characters, none of them NUL")
                )


def _read_anything(
    user_id: str, raw: msgspec.Raw, is_change: bool, violations: list[tuple[str, str]]
) -> Mapping[str, str | None] | None:
    """The attributes of a user who has other values than texts; None if the user is to be removed."""
    try:
        value = _ANYTHING.decode(raw)
    except msgspec.ValidationError:
        violations.append((_path(user_id), "must not hold a number that is too large for a double"))
        return {}
    if value is None and is_change:
        return None
    if not isinstance(value, dict):
        violations.append((_path(user_id), "must be an object of attributes"))
        return {}
    return _read_values(user_id, value, is_change, violations)


def _read_values(
    user_id: str, value: dict[str, Any], is_change: bool, violations: list[tuple[str, str]]
) -> dict[str, str | None]:
    read: dict[str, str | None] = {}
    for name, content in value.items():
        if isinstance(content, str):
            read[name] = content
        elif content is None:
            if is_change:
                read[name] = None
        elif isinstance(content, (bool, int, float)):
            read[name] = msgspec.json.encode(content).decode()
        else:
            violations.append((_path(user_id, name), "must be a text, a number, true, false or null"))
    return read


def _path(user_id: str, name: str = "") -> str:
    path = f"user_metadata.{user_id}.{name}" if name else f"user_metadata.{user_id}"
    return path.replace("\0", "\\0")[:600]


async def _parse_elsewhere(data: bytes, *, is_change: bool, most_users: int) -> ReadBody:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dmp_stats.api.reference_body",
        str(int(is_change)),
        str(most_users),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate(data)
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise
    if process.returncode != 0:
        raise RuntimeError(f"the reader of reference tables ended with {process.returncode}")
    return _FROM_PIPE.decode(output)


def _main() -> None:
    result = parse(sys.stdin.buffer.read(), is_change=sys.argv[1] == "1", most_users=int(sys.argv[2]))
    sys.stdout.buffer.write(_PIPE.encode(result))


if __name__ == "__main__":
    _main()
