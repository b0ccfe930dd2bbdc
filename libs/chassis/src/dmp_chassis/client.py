"""Channels to other services, and deadlines for the calls made over them."""

from __future__ import annotations

from typing import Any, Final

import grpc

MAX_MESSAGE_BYTES: Final = 72 * 1024 * 1024
"""Room for a body of 64 MiB and what surrounds it."""

_NO_DEADLINE_SECONDS: Final = 1e8
_SHORTEST_SECONDS: Final = 0.001


def channel(address: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> grpc.aio.Channel:
    """A channel to a service at `host:port` or `unix:/path`; it connects on first use and reconnects by itself.

    A name with several addresses is used round robin. A service that comes back is reached again within about a second.
    A connection whose peer has gone silent is given up after about 25 seconds. Proxies from the environment are not
    used.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
        ],
    )


def remaining(context: grpc.aio.ServicerContext[Any, Any], default: float, limit: float) -> float:
    """The timeout in seconds for a call made on behalf of `context`: what its caller has left, at most `limit`.

    `default` (capped by `limit` too) stands in when the caller set no deadline. Never zero: a call whose time is up
    fails with DEADLINE_EXCEEDED.
    """
    left: float | None = context.time_remaining()
    if left is None or left > _NO_DEADLINE_SECONDS:
        left = default
    return max(min(left, limit), _SHORTEST_SECONDS)
