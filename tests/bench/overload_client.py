"""Callers of inference's gRPC port: as many as it can answer, more than that, or ones that leave.

A process of its own; each question ends by itself.

Arguments: the port's address, the metrics page's URL, the secret. Questions, beside "version" and
"new_tokens" in each:
{"do": "capacity", "in_flight", "seconds"}: {"tokens_a_second", "tokens_an_answer"}, closed loop.
{"do": "offer", "rate" (requests/s), "seconds", "ramp_seconds", "deadline_seconds"}:
    {"goodput" (tokens/s of answers in time, of those that ended between ramp and end), "answered",
    "late", "refused", "refusals" (ms each), "retry_after" (s each)}, open loop, evenly spaced.
{"do": "unknown", "calls"}: {"refusals" (ms)} of calls for a version that does not exist.
{"do": "drop", "streams"}: {"freed" (ms until each slot was free), "stopped" (ms until the engine
    generated its last token), "leaked"} after all streams were cancelled at once.
"""

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.request import Request, urlopen

import grpc
import uvloop
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill_service_kit.grpc_client import open_channel

from tests.bench.decode_path import essay
from tests.bench.worker import answer_all

TENANTS = ("one", "two", "three")
LONG_SECONDS = 120.0
SETTLE_SECONDS = 1.0
"""An engine that generated nothing for so long has stopped."""
LOOK_SECONDS = 0.002
NUMBERS = count()


@dataclass
class Outcomes:
    """What became of the requests that were offered."""

    tokens_in_time: int = 0
    answered: int = 0
    late: int = 0
    refusals: list[float] = field(default_factory=list)
    retry_after: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


class Callers:
    """Whoever asks for text."""

    def __init__(self, stub: InferenceServiceStub, version: str, new_tokens: int) -> None:
        self._stub = stub
        self._version = version
        self._new_tokens = new_tokens

    def call(self, seconds: float, version: str = "") -> Any:
        """A call for an answer that fills its limit; no prompt comes twice."""
        number = next(NUMBERS)
        turn = ChatMessage(role="user", content=essay(number))
        request = pb.GenerateRequest(
            tenant=TENANTS[number % len(TENANTS)],
            model=version or self._version,
            conversation=pb.Conversation(messages=[turn]),
            options=pb.SamplingOptions(max_new_tokens=self._new_tokens, temperature=0.0),
        )
        return self._stub.Generate(request, timeout=seconds)

    async def answer(self, seconds: float) -> int:
        """Tokens of a whole answer."""
        tokens = 0
        async for part in self.call(seconds):
            tokens += part.end.usage.completion_tokens
        return tokens

    async def capacity(self, in_flight: int, seconds: float) -> dict[str, Any]:
        """How much comes of so many at a time."""
        began = time.perf_counter()
        answers: list[int] = []

        async def ask() -> None:
            while time.perf_counter() - began < seconds:
                answers.append(await self.answer(LONG_SECONDS))

        await asyncio.gather(*(ask() for _ in range(in_flight)))
        tokens, spent = sum(answers), time.perf_counter() - began
        return {"tokens_a_second": tokens / spent, "tokens_an_answer": tokens / len(answers)}

    async def offer(
        self, rate: float, seconds: float, ramp_seconds: float, deadline_seconds: float
    ) -> dict[str, Any]:
        """Ask so often, whatever becomes of it."""
        outcomes, began = Outcomes(), time.perf_counter()
        counted = (began + ramp_seconds, began + seconds)
        asked: list[asyncio.Task[None]] = []
        while (now := time.perf_counter()) - began < seconds:
            while len(asked) < (now - began) * rate:
                work = self._offer_one(deadline_seconds, counted, outcomes)
                asked.append(asyncio.create_task(work))
            await asyncio.sleep(max(0.0, began + len(asked) / rate - time.perf_counter()))
        await asyncio.gather(*asked)
        return {
            "goodput": outcomes.tokens_in_time / (seconds - ramp_seconds),
            "answered": outcomes.answered,
            "late": outcomes.late,
            "refused": len(outcomes.refusals),
            "refusals": outcomes.refusals,
            "retry_after": outcomes.retry_after,
            "others": outcomes.others[:3],
        }

    async def _offer_one(
        self, seconds: float, counted: tuple[float, float], outcomes: Outcomes
    ) -> None:
        sent = time.perf_counter()
        try:
            tokens = await self.answer(seconds)
        except grpc.aio.AioRpcError as error:
            took = time.perf_counter() - sent
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                outcomes.refusals.append(took * 1e3)
                said = dict(error.trailing_metadata() or ())
                outcomes.retry_after.append(float(said.get("retry-after", "nan")))
            elif error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                outcomes.late += 1
            else:
                outcomes.others.append(f"{error.code().name}: {error.details()}")
        else:
            outcomes.answered += 1
            if counted[0] <= time.perf_counter() < counted[1]:
                outcomes.tokens_in_time += tokens

    async def unknown(self, calls: int) -> dict[str, Any]:
        """The quickest refusal that there is: nothing of that name."""
        took = []
        for _ in range(calls):
            sent = time.perf_counter()
            try:
                await self.call(LONG_SECONDS, "mv-unknown").read()
            except grpc.aio.AioRpcError:
                took.append((time.perf_counter() - sent) * 1e3)
        return {"refusals": took}


class Dropper:
    """Streams that are all cancelled at once, and what the metrics page says afterwards."""

    def __init__(self, callers: Callers, page: str, secret: str, version: str) -> None:
        self._callers = callers
        self._page = Request(page, headers={"authorization": f"Bearer {secret}"})
        label = f'version="{version}"'
        self._slots = re.compile(rf"^modelmill_requests_in_flight{{{label}}} (\S+)$", re.M)
        self._held = re.compile(rf"^modelmill_admitted_tokens{{{label}}} (\S+)$", re.M)
        self._generated = re.compile(r'^modelmill_engine_tokens_total{engine="\w+"} (\S+)$', re.M)

    async def drop(self, streams: int) -> dict[str, Any]:
        """Cancel when each has its first token; look until nothing is generated any more."""
        calls = [self._callers.call(LONG_SECONDS) for _ in range(streams)]
        await asyncio.gather(*(call.read() for call in calls))
        began = time.perf_counter()
        for call in calls:
            call.cancel()
        return await asyncio.to_thread(self._watch, began, streams)

    def _watch(self, began: float, streams: int) -> dict[str, Any]:
        freed: list[float] = []
        slots, held, generated = self._look()
        stopped = time.perf_counter()
        while (now := time.perf_counter()) - stopped < SETTLE_SECONDS or slots:
            freed += [(now - began) * 1e3] * (streams - int(slots) - len(freed))
            time.sleep(LOOK_SECONDS)
            slots, held, more = self._look()
            if more != generated:
                generated, stopped = more, time.perf_counter()
            if now - began > LONG_SECONDS:
                break
        leaked = int(slots) + (held > 0)
        return {"freed": freed, "stopped": (stopped - began) * 1e3, "leaked": leaked}

    def _look(self) -> tuple[float, float, float]:
        with urlopen(self._page) as page:
            text = page.read().decode()
        found = [wanted.search(text) for wanted in (self._slots, self._held, self._generated)]
        slots, held, generated = (0.0 if one is None else float(one[1]) for one in found)
        return slots, held, generated


async def serve(asked: Mapping[str, Any], address: str, page: str, secret: str) -> dict[str, Any]:
    """Answer one question."""
    wanted = dict(asked)
    what, version = wanted.pop("do"), wanted.pop("version")
    async with open_channel(address, secret) as channel:
        callers = Callers(InferenceServiceStub(channel), version, wanted.pop("new_tokens"))
        owner = Dropper(callers, page, secret, version) if what == "drop" else callers
        answer: dict[str, Any] = await getattr(owner, what)(**wanted)
        return answer


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(serve(asked, *sys.argv[1:])))
