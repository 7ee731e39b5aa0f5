"""A gateway that dies between two steps of a streamed request, by SIGKILL: for tests of crashes.

`python -m services.gateway.tests.gateway_support.faulty_gateway`, from the root, with the step in
GATEWAY_FAULT_AT as "<point>" or "<point>:<n>". It is the gateway whose parts are wrapped, each in
one that kills; their code has no part in it.
"""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import modelmill_gateway.main
from modelmill_gateway.adapters.usage import UsageQueue
from modelmill_gateway.guarding.judge_inputs import JudgeInputs
from modelmill_gateway.routing.routed_engines import RoutedEngines

POINTS = (
    *("admitted", "judged", "calling", "called", "first_piece", "opening", "opened"),
    *("mid_stream", "ending", "before_usage", "after_usage", "before_done", "after_done"),
)
"""In the order in which a request comes by."""
MID_STREAM = 3
"""Bodies that were sent until the stream is in its middle."""

Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class FaultPoint:
    """Kills this process when a request comes by, for the n-th time if a number is given.

    Raises:
        ValueError: there is no such point.
    """

    def __init__(self, where: str) -> None:
        self._point, _, times = where.partition(":")
        if self._point not in POINTS:
            raise ValueError(f"{self._point!r} is none of {', '.join(POINTS)}")
        self._left = int(times or 1)

    def pass_by(self, point: str) -> None:
        """The request is here."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap_gateway(self) -> None:
        """Let the parts of a request die at the point, in this process."""
        check_input, generate, record = (
            JudgeInputs.check_input,
            RoutedEngines.generate,
            UsageQueue.record,
        )
        serve_http = modelmill_gateway.main.serve_http

        async def judged(judge: Any, *given: Any, **options: Any) -> Any:
            verdict = await check_input(judge, *given, **options)
            self.pass_by("judged")
            return verdict

        @asynccontextmanager
        async def generated(engines: Any, *given: Any, **options: Any) -> AsyncIterator[Any]:
            self.pass_by("calling")
            async with generate(engines, *given, **options) as pieces:
                self.pass_by("called")
                yield self._passed(pieces)

        def recorded(usage: Any, *given: Any) -> None:
            self.pass_by("before_usage")
            record(usage, *given)
            self.pass_by("after_usage")

        def served(app: App, *given: Any, **options: Any) -> Any:
            return serve_http(Sends(self, app), *given, **options)

        JudgeInputs.check_input = judged
        RoutedEngines.generate = generated
        UsageQueue.record = recorded
        modelmill_gateway.main.serve_http = served

    async def _passed(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        is_first = True
        async for piece in pieces:
            if is_first:
                self.pass_by("first_piece")
                is_first = False
            if piece.end is not None:
                self.pass_by("ending")
            yield piece


class Sends:
    """Dies around what is received and sent."""

    def __init__(self, fault: FaultPoint, app: App) -> None:
        self._faults = fault
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


if __name__ == "__main__":
    FaultPoint(os.environ["GATEWAY_FAULT_AT"]).wrap_gateway()
    modelmill_gateway.main.main()
