"""A channel that is opened anew when its credentials change: gRPC's own keeps those it began with.

Expected: a client, like a server, can be given another certificate. Actual: gRPC for Python reads a
channel's credentials once, and every reconnect after the certificate's end fails.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

GRACE_SECONDS = 600.0
"""How long calls may go on over the connection that they began on."""


class RenewedChannel(grpc.aio.Channel):
    """Calls begin on a channel with the credentials then in force, and end on the same one.

    Args:
        credentials: those in force; others only when it gives another object.
        open_with: opens a channel that has them.
    """

    def __init__(
        self,
        credentials: Callable[[], grpc.ChannelCredentials],
        open_with: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
    ) -> None:
        self._credentials = credentials
        self._open_with = open_with
        self._used = credentials()
        self._channel = open_with(self._used)
        self._closing: set[asyncio.Task[None]] = set()

    def _current(self) -> grpc.aio.Channel:
        credentials = self._credentials()
        if credentials is not self._used:
            outdated, self._channel = self._channel, self._open_with(credentials)
            self._used = credentials
            closing = asyncio.get_running_loop().create_task(outdated.close(GRACE_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return self._channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_current("stream_stream", args, kwargs)

    def _on_the_current(
        self, shape: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[..., Any]:
        channel = self._channel
        make_call = getattr(channel, shape)(*args, **kwargs)

        def made(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal channel, make_call
            current = self._current()
            if current is not channel:
                channel, make_call = current, getattr(current, shape)(*args, **kwargs)
            return make_call(*call_args, **call_kwargs)

        return made

    async def close(self, grace: float | None = None) -> None:
        for closing in tuple(self._closing):
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> "RenewedChannel":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().channel_ready()
