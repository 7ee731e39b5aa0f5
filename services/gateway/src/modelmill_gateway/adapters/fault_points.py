"""Where a test lets the process die: between two steps of a streamed request, by SIGKILL.

Nothing of it is in the way of a request unless a point is set. The parts that a request passes are
then wrapped, each in one that kills; their code has no part in it.
"""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded

from modelmill_gateway.domain.chat import ChatCall, Piece
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.ports import Engines, Moderation, UsageRecords

POINTS = (
    *("admitted", "judged", "calling", "called", "first_piece", "opening", "opened"),
    *("mid_stream", "ending", "before_usage", "after_usage", "before_done", "after_done"),
)
"""In the order in which a request comes by."""
MID_STREAM = 3
"""Bodies that were sent until the stream is in its middle."""

Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class FaultPoints:
    """Kills this process when a request comes by the point, for the n-th time if one is given.

    Args:
        where: "<point>" or "<point>:<n>"; empty wraps nothing.

    Raises:
        ValueError: there is no such point.
    """

    def __init__(self, where: str) -> None:
        point, _, times = where.partition(":")
        if point and point not in POINTS:
            raise ValueError(f"{point!r} is none of {', '.join(POINTS)}")
        self._point = point
        self._left = int(times or 1)

    def pass_by(self, point: str) -> None:
        """The request is here."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def moderation(self, moderation: Moderation) -> Moderation:
        """Dies with a verdict in hand."""
        return _Moderation(self, moderation) if self._point else moderation

    def engines(self, engines: Engines) -> Engines:
        """Dies around the call to inference."""
        return _Engines(self, engines) if self._point else engines

    def usage(self, usage: UsageRecords) -> UsageRecords:
        """Dies around the record."""
        return _Usage(self, usage) if self._point else usage

    def app(self, app: App) -> App:
        """Dies around what is received and sent."""
        return _Sends(self, app) if self._point else app


class _Moderation:
    def __init__(self, faults: FaultPoints, moderation: Moderation) -> None:
        self._faults = faults
        self._moderation = moderation

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict:
        verdict = await self._moderation.check_input(text, tenant=tenant, timeout=timeout)
        self._faults.pass_by("judged")
        return verdict


class _Engines:
    def __init__(self, faults: FaultPoints, engines: Engines) -> None:
        self._faults = faults
        self._engines = engines

    @asynccontextmanager
    async def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        self._faults.pass_by("calling")
        generating = self._engines.generate(call, tenant=tenant, asked=asked, timeout=timeout)
        async with generating as pieces:
            self._faults.pass_by("called")
            yield self._passed(pieces)

    async def _passed(self, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
        is_first = True
        async for piece in pieces:
            if is_first:
                self._faults.pass_by("first_piece")
                is_first = False
            if piece.end is not None:
                self._faults.pass_by("ending")
            yield piece


class _Usage:
    def __init__(self, faults: FaultPoints, usage: UsageRecords) -> None:
        self._faults = faults
        self._usage = usage

    def record(self, usage: UsageRecorded) -> None:
        self._faults.pass_by("before_usage")
        self._usage.record(usage)
        self._faults.pass_by("after_usage")


class _Sends:
    def __init__(self, faults: FaultPoints, app: App) -> None:
        self._faults = faults
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        asked = sent = 0

        async def receiving() -> Any:
            nonlocal asked
            message = await receive()
            asked += 1
            if asked == 1:
                self._faults.pass_by("admitted")
            return message

        async def sending(message: Any) -> None:
            nonlocal sent
            begins = message["type"] == "http.response.start"
            ends = not begins and not message.get("more_body", False)
            if begins or ends:
                self._faults.pass_by("opening" if begins else "before_done")
            await send(message)
            sent += not begins
            if begins or ends:
                self._faults.pass_by("opened" if begins else "after_done")
            if sent == MID_STREAM:
                self._faults.pass_by("mid_stream")

        await self._app(scope, receiving, sending)
