"""An inference that generates at a known pace, has places for so many, and counts what it does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.inference.v1 import inference_service_pb2 as pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer
from modelmill_service_kit.errors import OverloadedError

PROMPT_TOKENS = 8


class PacedInference(InferenceServiceServicer):
    """A token every `seconds_a_token` for each of at most `places` answers; more are refused.

    Args:
        places: answers at a time.
    """

    def __init__(self, places: int, seconds_a_token: float) -> None:
        self.places = places
        self.in_flight = 0
        self.refused = 0
        self.generated = 0
        """Tokens, ever."""
        self.ended_at: list[float] = []
        """When each call was over, whatever ended it, by the loop's clock."""
        self._seconds = seconds_a_token

    async def Generate(
        self, request: pb.GenerateRequest, context: Any
    ) -> AsyncIterator[pb.GenerateResponse]:
        if self.in_flight >= self.places:
            self.refused += 1
            raise OverloadedError("all places are taken")
        loop = asyncio.get_running_loop()
        tokens, version_id = request.options.max_new_tokens, request.model
        due = loop.time()
        self.in_flight += 1
        try:
            for _ in range(tokens):
                due += self._seconds
                await asyncio.sleep(due - loop.time())
                self.generated += 1
                yield pb.GenerateResponse(text_delta="word ", version_id=version_id)
                version_id = ""
            usage = TokenUsage(prompt_tokens=PROMPT_TOKENS, completion_tokens=tokens)
            end = pb.GenerationEnd(finish_reason="length", usage=usage, version_id=request.model)
            yield pb.GenerateResponse(end=end)
        finally:
            self.in_flight -= 1
            self.ended_at.append(loop.time())
