"""A channel over several servers: each call goes to the next one that is connected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import grpc


class SpreadChannel(grpc.aio.Channel):
    """Spreads calls over channels, in turn. gRPC's library does it for the addresses of one name, not for sockets.

    A server that is away is left out while another is there, and is connected again by itself. With none there, calls
    go to the next one, and fail as they do on one channel. Calls, not their making, choose the channel, so stubs may be
    kept. To be used in one event loop.
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

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's channel takes
        """An RPC with one request and one answer."""
        return _Rpc(self, lambda channel: channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's channel takes
        """An RPC with one request and many answers."""
        return _Rpc(self, lambda channel: channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's channel takes
        """An RPC with many requests and one answer."""
        return _Rpc(self, lambda channel: channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's channel takes
        """An RPC with many requests and many answers."""
        return _Rpc(self, lambda channel: channel.stream_stream(*args, **kwargs))

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

    async def __aenter__(self) -> SpreadChannel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Rpc:
    """One RPC of a stub, on whichever channel has its turn."""

    def __init__(self, owner: SpreadChannel, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._owner = owner
        self._make = make
        self._calls: WeakKeyDictionary[grpc.aio.Channel, Any] = WeakKeyDictionary()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's own takes
        channel = self._owner.now()
        call = self._calls.get(channel)
        if call is None:
            call = self._calls[channel] = self._make(channel)
        return call(*args, **kwargs)
