"""The load on inference: `Generate` calls over one channel, so many in flight.

It shares the machine with what it measures, so messages stay bytes; only the last of a call, which
has the usage, is parsed.

Question: {"address", "secret", "tenant", "version_id", "prompts", "in_flight", "max_new_tokens"}.
Answer: {"seconds", "tokens", "messages", "cpu_seconds", "latencies"} (seconds of each request).
"""

import asyncio
import resource
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1 import inference_service_pb2 as pb

from tests.bench.worker import answer_all

METHOD = "/modelmill.inference.v1.InferenceService/Generate"
CALL_SECONDS = 300.0


@dataclass
class Seen:
    """What came back."""

    tokens: int = 0
    messages: int = 0
    latencies: list[float] = field(default_factory=list)


async def load(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send every prompt once, `in_flight` at a time."""
    requests = deque(_request(asked, prompt) for prompt in asked["prompts"])
    metadata = (("authorization", f"Bearer {asked['secret']}"),)
    seen = Seen()
    async with grpc.aio.insecure_channel(asked["address"]) as channel:
        generate = channel.unary_stream(METHOD)
        await channel.channel_ready()

        async def client() -> None:
            while requests:
                began = time.perf_counter()
                last = b""
                async for message in generate(
                    requests.popleft(), metadata=metadata, timeout=CALL_SECONDS
                ):
                    last = message
                    seen.messages += 1
                seen.latencies.append(time.perf_counter() - began)
                seen.tokens += pb.GenerateResponse.FromString(last).end.usage.completion_tokens

        cpu, started = _cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(client() for _ in range(asked["in_flight"])))
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "tokens": seen.tokens,
        "messages": seen.messages,
        "cpu_seconds": _cpu_seconds() - cpu,
        "latencies": seen.latencies,
    }


def _request(asked: Mapping[str, Any], prompt: str) -> bytes:
    request = pb.GenerateRequest(
        tenant=asked["tenant"],
        model=asked["version_id"],
        options=pb.SamplingOptions(max_new_tokens=asked["max_new_tokens"]),
    )
    request.conversation.messages.append(ChatMessage(role="user", content=prompt))
    return request.SerializeToString()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(load(asked)))
