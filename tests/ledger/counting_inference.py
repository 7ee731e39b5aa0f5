"""An inference that generates slowly and counts, for each request, what it really generated."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer

PROMPT_TOKENS = 8


@dataclass
class Generated:
    """One call, by the name in its only turn: the truth about what it cost."""

    name: str
    began: float
    tokens: int = 0
    """Generated, whether or not anybody took them."""
    ended: float = 0.0
    """0 while it runs."""
    whole: bool = False


class CountingInference(InferenceServiceServicer):
    """As many tokens as asked for, one every `seconds_a_token`."""

    def __init__(self, seconds_a_token: float) -> None:
        self.calls: dict[str, Generated] = {}
        self._seconds = seconds_a_token

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        name = request.conversation.messages[-1].content
        call = self.calls[name] = Generated(name, time.monotonic())
        wanted = int(name.rpartition(" ")[2])
        try:
            for number in range(wanted):
                await asyncio.sleep(self._seconds)
                call.tokens += 1
                response = pb.GenerateResponse(text_delta="word ", completion_tokens=call.tokens)
                if not number:
                    response.version_id, response.prompt_tokens = request.model, PROMPT_TOKENS
                yield response
            usage = TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=wanted)
            call.whole, call.ended = True, time.monotonic()
            end = pb.GenerationEnd(finish_reason="stop", usage=usage, version_id=request.model)
            yield pb.GenerateResponse(end=end)
        finally:
            call.ended = call.ended or time.monotonic()
