"""Reads the message of a request from its bytes: inflated and parsed only within the limit of its RPC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from dmp_chassis.client import MAX_MESSAGE_BYTES
from dmp_chassis.content_coding import inflate
from dmp_chassis.errors import BodyDamaged, BodyTooLarge
from dmp_chassis.violations import InvalidArgument, Violation

Parse: TypeAlias = Callable[[bytes], Any]

COMPRESSION_OPTIONS: Final = (
    # gRPC's library inflates a message whole before it looks at its size: 600 KB become 600 MiB.
    ("grpc.per_message_decompression", 0),
    # None and gzip: what is inflated here is known by its first bytes.
    ("grpc.compression_enabled_algorithms_bitset", 0b101),
)
"""Options of a server that leave messages as they came."""

MAX_STREAMED_BYTES: Final = (1 << 20) + (64 << 10)
"""Of one message of a stream. The gateway passes none on that is longer (`gateway/envoy.yaml`): gRPC's library would
hold all of it, for each stream that is open, before anything here can look at its length."""
_KEPT_BACK: Final = b"\x07"
"""What the gateway sends in place of a longer message (`gateway/requests.lua`): the wire type 7 does not exist."""
_GZIP: Final = b"\x1f\x8b"
"""No message begins so: it would be field 3 of the wire type 7, which does not exist."""
_INLINE_BYTES: Final = 4_096
"""Inflates to 4 MiB at most: a few milliseconds."""


class RequestReader:
    """Reads the requests of one RPC."""

    def __init__(self, parse: Parse | None, most_bytes: int = 0) -> None:
        """`parse`: None leaves the bytes as they are. `most_bytes`: of a message once it is inflated; 0 stands for
        MAX_MESSAGE_BYTES.
        """
        self._parse = parse
        self._most = most_bytes or MAX_MESSAGE_BYTES

    async def read(self, data: bytes) -> object:
        """The message. Raises InvalidArgument if it is too large or none. A thread inflates all but small ones."""
        if data[:2] == _GZIP and len(data) > _INLINE_BYTES:
            data = await asyncio.to_thread(self._inflated, data)
        return self.read_now(data)

    def read_now(self, data: bytes) -> object:
        """The message, for a caller who cannot wait. Raises as `read` does."""
        if data[:2] == _GZIP:
            data = self._inflated(data)
        if len(data) > self._most or data == _KEPT_BACK:
            raise self._too_large()
        if self._parse is None:
            return data
        try:
            return self._parse(data)
        except Exception:  # noqa: BLE001 -- protobuf raises several, all meaning the same
            raise _not_a_message() from None

    def _inflated(self, data: bytes) -> bytes:
        try:
            return inflate(data, limit=self._most)
        except BodyTooLarge:
            raise self._too_large() from None
        except BodyDamaged:
            raise _not_a_message() from None

    def _too_large(self) -> InvalidArgument:
        return _invalid(f"the request must have at most {self._most} bytes")


def _not_a_message() -> InvalidArgument:
    return _invalid("the request is not a valid message of its type")


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument([Violation("", description)])
