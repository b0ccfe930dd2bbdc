"""A channel that stands for several: each call chooses one of them when it begins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc


class ChosenChannel(grpc.aio.Channel):
    """Calls, not their making, choose the channel, so stubs may be kept. To be used in one event loop."""

    @abstractmethod
    def now(self) -> grpc.aio.Channel:
        """The channel for a call that begins now."""

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Rpc:
    """One RPC of a stub, on whichever channel is chosen."""

    def __init__(self, owner: ChosenChannel, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._owner = owner
        self._make = make
        self._calls: dict[grpc.aio.Channel, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- what the library's own takes
        channel = self._owner.now()
        call = self._calls.get(channel)
        if call is None:
            ended = grpc.ChannelConnectivity.SHUTDOWN
            self._calls = {each: made for each, made in self._calls.items() if each.get_state() is not ended}
            call = self._calls[channel] = self._make(channel)
        return call(*args, **kwargs)
