"""A channel whose certificate may change: the library's own keep for ever the one that they were made with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import grpc

from dmp_chassis.certificates import Certificates, CertificateSet
from dmp_chassis.chosen_channel import ChosenChannel

_LAST_CALLS_SECONDS: Final = 60.0
"""How long the channel with the old certificate lasts. Calls between services have ten seconds at most."""


class RenewedChannel(ChosenChannel):
    """Makes a new channel when there are new certificates, and closes the old one when its calls have ended.

    Everything else is as with the channels that `connect` makes.
    """

    def __init__(self, certificates: Certificates, connect: Callable[[CertificateSet], grpc.aio.Channel]) -> None:
        self._certificates = certificates
        self._connect = connect
        self._set = certificates.current()
        self._channel = connect(self._set)
        self._ending: dict[grpc.aio.Channel, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def now(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""
        current = self._certificates.current()
        if current is not self._set:
            old, self._channel, self._set = self._channel, self._connect(current), current
            loop = asyncio.get_running_loop()
            self._ending[old] = loop.call_later(_LAST_CALLS_SECONDS, self._end, old)
        return self._channel

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Whether the channel of now is connected."""
        return self.now().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the channel of now is in another state than this."""
        await self.now().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when the channel of now is connected."""
        await self.now().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Ends all calls, on the old channels too."""
        for timer in self._ending.values():
            timer.cancel()
        for channel in (*self._ending, self._channel):
            await channel.close(grace)
        self._ending.clear()

    def _end(self, channel: grpc.aio.Channel) -> None:
        del self._ending[channel]
        closing = asyncio.ensure_future(channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
