"""Channels to other services."""

from __future__ import annotations

from typing import Final

import grpc

MAX_MESSAGE_BYTES: Final = 72 * 1024 * 1024
"""Room for a body of 64 MiB and what surrounds it."""


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
