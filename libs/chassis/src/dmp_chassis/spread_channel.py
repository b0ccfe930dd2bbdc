"""A channel over several servers: each call goes to the next one that is connected."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from dmp_chassis.chosen_channel import ChosenChannel


class SpreadChannel(ChosenChannel):
    """Spreads calls over channels, in turn. gRPC's library does it for the addresses of one name, not for sockets.

    A server that is away is left out while another is there, and is connected again by itself. With none there, calls
    go to the next one, and fail as they do on one channel.
    """

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._channels = tuple(channels)
        self._last = -1

    def now(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""
        count = len(self._channels)
        in_turn = [(self._last + step) % count for step in range(1, count + 1)]
        states = {index: self._channels[index].get_state(try_to_connect=True) for index in in_turn}
        away = grpc.ChannelConnectivity.TRANSIENT_FAILURE
        ready = [index for index in in_turn if states[index] is grpc.ChannelConnectivity.READY]
        hopeful = [index for index in in_turn if states[index] is not away]
        self._last = (ready or hopeful or in_turn)[0]
        return self._channels[self._last]

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the channel that the next call would use."""
        states = [channel.get_state(try_to_connect) for channel in self._channels]
        ready = grpc.ChannelConnectivity.READY
        return ready if ready in states else states[0]

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when the first channel is in another state than this."""
        await self._channels[0].wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Returns when all channels are connected."""
        for channel in self._channels:
            await channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Ends all calls."""
        for channel in self._channels:
            await channel.close(grace)
