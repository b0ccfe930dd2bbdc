"""Undoes the content coding of a request body: gzip, inflated within a limit and verified to its last byte."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from typing import Final, TypeAlias

from dmp_chassis.errors import BodyDamaged, BodyTooLarge
from dmp_chassis.violations import InvalidArgument, Violation

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
"""What `context.invocation_metadata()` gives. It makes all of it anew each time, which costs some microseconds."""

CODING_HEADER: Final = "x-internal-content-encoding"
"""Metadata in which the gateway hands on `content-encoding`. From outside the gateway takes no `x-internal-` header."""

_GZIP: Final = 31
"""zlib's window bits for gzip with its header, checksum and length."""
_MOST_MEMBERS: Final = 10_000
_FIRST_PIECE: Final = 1_024
_LARGEST_PIECE: Final = 1_048_576
_INLINE_BYTES: Final = 4_096
"""Inflates to 4 MiB at most: a few milliseconds."""


async def decoded_body(data: bytes, metadata: Metadata, *, limit: int) -> bytes:
    """The body of a request without its content coding, at most `limit` bytes.

    Raises BodyTooLarge, BodyDamaged, or InvalidArgument for a coding that is neither gzip nor identity. Never makes
    more than `limit` bytes and one. All but small bodies are inflated by a thread, which zlib lets run beside this one.
    """
    if not is_gzip(metadata):
        if len(data) > limit:
            raise BodyTooLarge(limit=limit)
        return data
    if len(data) <= _INLINE_BYTES:
        return inflate(data, limit=limit)
    return await asyncio.to_thread(inflate, data, limit=limit)


def is_gzip(metadata: Metadata) -> bool:
    """Whether the body of this request is gzip. Raises InvalidArgument for any coding but gzip and identity."""
    coding = next((value for name, value in metadata if name == CODING_HEADER), "")
    named = str(coding).strip().lower()
    if named not in ("", "identity", "gzip", "x-gzip"):
        raise InvalidArgument([Violation("content-encoding", "must be gzip or identity")])
    return named.endswith("gzip")


def inflate(data: bytes, *, limit: int) -> bytes:
    """The content of all gzip members that `data` consists of, at most `limit` bytes.

    Raises BodyTooLarge as soon as there is more, or BodyDamaged: a wrong checksum or length, a member that is cut
    short, or anything that is no member. Costs the inflated bytes, and a few microseconds for each member, of which
    there may be 10,000. *Source:* RFC 1952, section 2.2 (a file is a series of members).
    """
    if not data:
        raise BodyDamaged(problem="is empty, which is not gzip")
    view = memoryview(data)
    parts: list[bytes] = []
    position = size = members = 0
    while position < len(data):
        if members == _MOST_MEMBERS:
            raise BodyDamaged(problem=f"has more than {_MOST_MEMBERS:,} gzip members")
        members += 1
        # What follows a member is copied by zlib with each piece: small pieces first, for many small members.
        piece = len(data) if members == 1 else _FIRST_PIECE
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            if position == len(data):
                raise BodyDamaged(problem="ends in the middle of its gzip coding")
            given = view[position : position + piece]
            try:
                part = member.decompress(given, limit - size + 1)
            except zlib.error:
                raise BodyDamaged(problem="is not gzip, or was damaged on its way") from None
            size += len(part)
            if size > limit:
                raise BodyTooLarge(limit=limit)
            parts.append(part)
            position += len(given) - len(member.unused_data)
            piece = min(piece * 4, _LARGEST_PIECE)
    return parts[0] if len(parts) == 1 else b"".join(parts)
