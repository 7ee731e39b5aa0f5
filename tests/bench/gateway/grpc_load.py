"""The same load straight to the upstream over gRPC: the baseline of the gateway's own path.

A process of its own, bare grpc.aio. Question: {"port", "text", "max_tokens", "calls"}, one call
after the other. Answer: {"latencies"} (to the end) and {"first_seconds"} (to the first text).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import grpc
import uvloop
from modelmill.common.v1.chat_pb2 import ChatMessage
from modelmill.inference.v1.inference_service_pb2 import (
    Conversation,
    GenerateRequest,
    SamplingOptions,
)
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub

from tests.bench.worker import answer_all

CALL_SECONDS = 30.0
WARM_CALLS = 20


async def load(asked: Mapping[str, Any]) -> dict[str, Any]:
    """All calls, one after the other."""
    conversation = Conversation(messages=[ChatMessage(role="user", content=asked["text"])])
    request = GenerateRequest(
        model="bench",
        conversation=conversation,
        options=SamplingOptions(max_new_tokens=asked["max_tokens"]),
    )
    latencies, firsts = [], []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{asked['port']}") as channel:
        stub = InferenceServiceStub(channel)
        for number in range(asked["calls"] + WARM_CALLS):
            started, first = time.perf_counter(), 0.0
            async for piece in stub.Generate(request, timeout=CALL_SECONDS):
                if piece.text_delta and not first:
                    first = time.perf_counter() - started
            if number >= WARM_CALLS:
                latencies.append(time.perf_counter() - started)
                firsts.append(first)
    return {"latencies": latencies, "first_seconds": firsts}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer_all(lambda asked: runner.run(load(asked)))
