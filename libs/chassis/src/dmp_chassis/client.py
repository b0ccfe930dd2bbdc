"""Channels to other services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from dmp_chassis.certificates import Certificates, CertificateSet
from dmp_chassis.renewed_channel import RenewedChannel
from dmp_chassis.spread_channel import SpreadChannel

MAX_MESSAGE_BYTES: Final = 72 * 1024 * 1024
"""Room for a body of 64 MiB and what surrounds it."""

_OPTIONS: Final[Sequence[tuple[str, str | int]]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 1_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
)


def channel(*addresses: str, service: str = "", certificates: Certificates | None = None) -> grpc.aio.Channel:
    """A channel to a service at `host:port` or `unix:/path`; it connects on first use and reconnects by itself.

    Several addresses, and the addresses of a name that has several, are used in turn. A service that comes back is
    reached again within about a second. A connection whose peer has gone silent is given up after about three seconds,
    and with it the calls on it. Proxies from the environment are not used.

    certificates: proves to the service who calls, and has it prove to be `service`: its certificate must have that name
    among its DNS names, whatever the address is. New ones are used for calls from the next second on. None: plain.
    """
    if len(addresses) > 1:
        return SpreadChannel([channel(each, service=service, certificates=certificates) for each in addresses])
    (address,) = addresses
    if certificates is None:
        return grpc.aio.insecure_channel(address, options=_OPTIONS)

    def connect(current: CertificateSet) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(current.authority, current.key, current.certificate)
        name = ("grpc.ssl_target_name_override", service)
        return grpc.aio.secure_channel(address, credentials, options=[*_OPTIONS, name])

    return RenewedChannel(certificates, connect)
