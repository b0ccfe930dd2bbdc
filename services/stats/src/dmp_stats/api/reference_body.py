"""Reads `{"user_metadata": {user: {attribute: value}}, "ts": "…"}` into chunks of a reference table.

Large bodies are read by a process of their own (`python -m dmp_stats.api.reference_body`): reading a million users
keeps an interpreter busy for seconds, and nothing else would be answered meanwhile.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, Final

import msgspec

from dmp_chassis.content_coding import inflate
from dmp_chassis.errors import BodyDamaged, BodyTooLarge
from dmp_chassis.instants import instant_problem, parse_instant
from dmp_stats.domain.reference import (
    CHUNK_USERS,
    LONGEST_NAME,
    LONGEST_USER_ID,
    LONGEST_VALUE,
    MOST_ATTRIBUTES,
    pack_chunk,
)
from dmp_stats.domain.reference_limits import MOST_NAMES, TOO_MANY_NAMES

CHILD_SECONDS: Final = 60
NO_MEMORY: Final = 3
"""How the process ends that may not take what a body needs."""
_NICENESS: Final = 5
LARGEST_BODY: Final = 64 * 1024 * 1024
_MOST_VIOLATIONS: Final = 50
_LONGEST_USER_BYTES: Final = 131_072
"""As many attributes as a user may have, each as long as it may be, every character escaped, fit in."""


class ReadTask(msgspec.Struct, frozen=True, kw_only=True):
    """How to read a body."""

    is_gzip: bool
    """Whether it must be inflated first."""
    is_change: bool
    """Whether it changes a table. `null` then removes an attribute or a user."""
    most_users: int
    """How many users it may have."""
    oldest: datetime | None
    """Its users are read only if its `ts` is not before this, and not after `latest`."""
    latest: datetime
    memory_bytes: int = 2 << 30
    """What a process of its own may take of memory."""


class ReadBody(msgspec.Struct, frozen=True, kw_only=True):
    """A body that was read, or what is wrong with it."""

    ts: datetime | None = None
    """Its time. If this is not between the times of the task, its users were not read."""
    payloads: list[bytes] = []
    """Its users as stored chunks."""
    users: int = 0
    """How many users it has."""
    names: list[str] = []
    """The attribute names that it mentions."""
    violations: list[tuple[str, str]] = []
    """What is wrong with its fields: pairs of field and sentence."""
    malformed: str = ""
    """Why it is not JSON; empty if it is."""
    damaged: str = ""
    """Why it is not gzip; empty if it is, or need not be."""
    too_many_bytes: int = 0
    """The limit of bytes that it exceeds; 0 if it does not. `too_many_users` likewise."""
    too_many_users: int = 0


class _Body(msgspec.Struct):
    user_metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ts: Any = msgspec.UNSET


_BODY: Final = msgspec.json.Decoder(_Body)
_USERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXTS: Final = msgspec.json.Decoder(dict[str, str])
_ANYTHING: Final = msgspec.json.Decoder()
_PIPE: Final = msgspec.msgpack.Encoder()


def read(data: bytes, task: ReadTask) -> ReadBody:
    """Reads a body here and now. Of a user, or an attribute of a user, that comes twice the last counts.

    Its `ts` is read first, wherever it stands: a body that is too old or too new costs one look over it.
    """
    try:
        if task.is_gzip:
            data = inflate(data, limit=LARGEST_BODY)
        body = _BODY.decode(data)
    except BodyTooLarge as error:
        return ReadBody(too_many_bytes=error.limit)
    except BodyDamaged as error:
        return ReadBody(damaged=error.problem)
    except RecursionError:
        return ReadBody(malformed="it is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shape = isinstance(error, msgspec.ValidationError)
        return ReadBody(malformed="it is not a JSON object" if shape else "it is not valid JSON in UTF-8")
    violations: list[tuple[str, str]] = []
    ts = _read_ts(body.ts, violations)
    if ts is not None and (ts > task.latest or (task.oldest is not None and ts < task.oldest)):
        return ReadBody(ts=ts)
    if isinstance(body.user_metadata, msgspec.UnsetType):
        return ReadBody(violations=[*violations, ("user_metadata", "is required")])
    return _read_users(body.user_metadata, task, ts, violations)


def _read_users(raw: msgspec.Raw, task: ReadTask, ts: datetime | None, violations: list[tuple[str, str]]) -> ReadBody:
    names: set[str] = set()
    try:
        users = _USERS.decode(raw)
        if len(users) > task.most_users:
            return ReadBody(too_many_users=task.most_users)
        payloads = list(_chunks(users, task.is_change, names, violations))
    except RecursionError:
        return ReadBody(malformed="it is nested too deeply")
    except msgspec.ValidationError:
        return ReadBody(violations=[*violations, ("user_metadata", "must be an object of users")])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ReadBody(malformed="it is not valid JSON in UTF-8")
    if violations:
        return ReadBody(violations=violations[:_MOST_VIOLATIONS])
    return ReadBody(ts=ts, payloads=payloads, users=len(users), names=sorted(names))


def _read_ts(value: object, violations: list[tuple[str, str]]) -> datetime | None:
    ts = parse_instant(value) if isinstance(value, str) else None
    if value is msgspec.UNSET or value is None:
        violations.append(("ts", "is required"))
    elif ts is None:
        violations.append(("ts", instant_problem(str(value) if isinstance(value, (str, int)) else "")))
    return ts


def _chunks(
    users: dict[str, msgspec.Raw], is_change: bool, names: set[str], violations: list[tuple[str, str]]
) -> Iterator[bytes]:
    """The users as chunks, until there is something wrong with one. `names` gets all attribute names."""
    entries = iter(users.items())
    while part := list(islice(entries, CHUNK_USERS)):
        read: dict[str, Mapping[str, str | None]] = {}
        removed: list[str] = []
        for user_id, raw in part:
            if len(raw) > _LONGEST_USER_BYTES:
                violations.append((_path(user_id), f"must be at most {_LONGEST_USER_BYTES:,} bytes of JSON"))
                continue
            try:
                # Nearly every user has nothing but texts: one pass, in C.
                read[user_id] = _TEXTS.decode(raw)
            except msgspec.ValidationError:
                attributes = _read_anything(user_id, raw, is_change, violations)
                if attributes is None:
                    removed.append(user_id)
                else:
                    read[user_id] = attributes
        if len(violations) >= _MOST_VIOLATIONS:
            return
        if not _is_clean([user_id for user_id, _ in part], read.values()):
            _name_problems([user_id for user_id, _ in part], read, violations)
        names.update(chain.from_iterable(read.values()))
        if len(names) > MOST_NAMES:
            violations.append(("user_metadata", TOO_MANY_NAMES))
        if len(violations) >= _MOST_VIOLATIONS or len(names) > MOST_NAMES:
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
        if len(violations) >= _MOST_VIOLATIONS:
            return
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


def _main() -> None:
    """Takes the limits upon itself before it reads what a stranger says."""
    task = msgspec.json.decode(sys.argv[1], type=ReadTask)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The end on the wall clock, also when nobody is left to wait for it.
    signal.alarm(CHILD_SECONDS + 1)
    try:
        sys.stdout.buffer.write(_PIPE.encode(read(sys.stdin.buffer.read(), task)))
    except MemoryError:
        sys.exit(NO_MEMORY)


if __name__ == "__main__":
    _main()
