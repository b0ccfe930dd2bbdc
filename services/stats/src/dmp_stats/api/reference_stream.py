"""Reads a stream of messages into a reference table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.instants import OUT_OF_RANGE, instant_from_us, timestamp_us
from dmp_chassis.violations import InvalidArgument, Violation, Violations
from dmp_stats.domain.errors import TooLargeError
from dmp_stats.domain.reference import (
    CHUNK_USERS,
    LONGEST_NAME,
    LONGEST_USER_ID,
    LONGEST_VALUE,
    MOST_ATTRIBUTES,
    pack_chunk,
)
from dmp_stats.domain.reference_limits import MOST_NAMES, TOO_MANY_NAMES
from dmp_stats.replace_reference import ReferenceTable

_MOST_PROBLEMS: Final = 50


async def read_reference_stream(
    requests: AsyncIterator[pb.ReplaceReferenceUsersRequest],
    *,
    most_users: int,
    check_time: Callable[[datetime], None],
    on_large: Callable[[], None],
) -> ReferenceTable:
    """The table that the messages make up.

    check_time: raises what is wrong with the time of the first message, before anything else is read.
    on_large: called once, when there are more users than fit into one chunk; what it raises ends the reading.

    Raises InvalidArgument at the first message that has problems, with all of that message, or TooLargeError.
    """
    ts: datetime | None = None
    names: set[str] = set()
    payloads: list[bytes] = []
    waiting: dict[str, dict[str, str]] = {}
    received = 0
    is_first = True
    async for request in requests:
        problems = Violations()
        if is_first:
            ts = _instant(request, problems)
            is_first = False
            if ts is not None:
                check_time(ts)
        _take_users(request, waiting, names, problems)
        problems.check()
        received += len(request.users)
        if received > most_users:
            raise TooLargeError(limit=most_users, unit="users")
        if received > CHUNK_USERS and not payloads:
            on_large()
        if len(waiting) >= CHUNK_USERS:
            payloads.append(pack_chunk(waiting))
            waiting = {}
    if ts is None:
        raise InvalidArgument([Violation("ts", "is required in the first message")])
    if waiting:
        payloads.append(pack_chunk(waiting))
    return ReferenceTable(ts=ts, payloads=payloads, users=received, names=frozenset(names))


def _take_users(
    request: pb.ReplaceReferenceUsersRequest,
    waiting: dict[str, dict[str, str]],
    names: set[str],
    problems: Violations,
) -> None:
    """Adds the users of a message to those that wait and their attribute names to `names`; or names the problems."""
    for user_id, user in request.users.items():
        attributes = dict(user.attributes)
        _check_user(user_id, attributes, problems)
        names.update(attributes)
        if len(names) > MOST_NAMES:
            problems.add("users", TOO_MANY_NAMES)
            return
        if len(problems) >= _MOST_PROBLEMS:
            return
        waiting[user_id] = attributes


def _instant(request: pb.ReplaceReferenceUsersRequest, problems: Violations) -> datetime | None:
    if not request.HasField("ts"):
        problems.add("ts", "is required in the first message")
        return None
    at_us = timestamp_us(request.ts.seconds, request.ts.nanos)
    if at_us is None:
        problems.add("ts", f"{OUT_OF_RANGE}, with nanos from 0 to 999,999,999")
        return None
    return instant_from_us(at_us)


def _check_user(user_id: str, attributes: dict[str, str], problems: Violations) -> None:
    path = f"users.{user_id}"
    if not user_id.strip() or len(user_id) > LONGEST_USER_ID or "\0" in user_id:
        problems.add(path, f"must be a user id of 1 to {LONGEST_USER_ID} characters")
    if len(attributes) > MOST_ATTRIBUTES:
        problems.add(path, f"must have at most {MOST_ATTRIBUTES} attributes")
    for name, value in attributes.items():
        if not name.strip() or len(name) > LONGEST_NAME or "\0" in name:
            problems.add(f"{path}.{name}", f"must be a name of 1 to {LONGEST_NAME} characters")
        if len(value) > LONGEST_VALUE or "\0" in value:
            problems.add(
                f"{path}.{name}",
                f"must have at most {LONGEST_VALUE} characters, none of them NUL",
            )
