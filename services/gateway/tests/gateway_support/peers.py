"""The services behind every text, as real gRPC servers whose work is faked."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from modelmill.common.v1.chat_pb2 import TokenUsage, ToolCall
from modelmill.inference.v1 import inference_service_pb2 as inference_pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer
from modelmill.moderation.v1 import moderation_service_pb2 as moderation_pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceServicer
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.verdict import Direction
from modelmill_service_kit.errors import (
    DomainError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
)

from gateway_support.judges import FakeJudges
from gateway_support.policies import FakePolicies


def prompt_too_long() -> DomainError:
    """What inference says of a prompt that leaves no room for an answer."""
    error = InvalidInputError("prompt has 900 tokens, the limit is 512")
    return error.because("PROMPT_TOO_LONG")


def engine_cannot() -> DomainError:
    """What inference says when its engine lacks what a request asks for."""
    return PreconditionError("the engine cannot constrain answers").because("ENGINE_CANNOT")


@dataclass
class InHand:
    """Requests since the last reset: one of before it that ends late counts no more."""

    in_flight: int = 0
    cancelled: int = 0


class FakeInference(InferenceServiceServicer):
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and say the usual."""
        self.pieces: list[str] = ["Hello", ", ", "world"]
        self.serving = inference_pb.ListServingResponse()
        """What is loaded, and the memory that it takes."""
        self.answers: dict[int, list[str]] = {}
        """What other answers than the usual say, by their number."""
        self.alternatives: list[bytes] = []
        """What could have stood in the place of each token."""
        self.calls: list[tuple[str, str]] = []
        """Calls behind the text of each answer: names and arguments."""
        self.names: dict[str, str] = {}
        """Versions that aliases mean to it, where it has not just what the gateway has heard."""
        self.cannot_run: set[str] = set()
        """Versions of a form that it has no engine for."""
        self.cascade: inference_pb.CascadePath | None = None
        """The way that it says an answer came."""
        self.finish_reason = "stop"
        self.counts = False
        """It tells the tokens of a prompt and of an answer as it goes; of one answer."""
        self.stop_text = ""
        """What it says ended an answer."""
        self.fail_before: DomainError | None = None
        self.fail_after: DomainError | None = None
        self.fail_load: DomainError | None = None
        self.load_gates: dict[str, asyncio.Event] = {}
        self.loading: list[str] = []
        self.lasts = 0.0
        """Seconds from the text of an answer to its end."""
        self.endless = False
        self.endless_versions: set[str] = set()
        """Those whose answers go on as long as they stand here."""
        self.fail_versions: dict[str, DomainError] = {}
        """What those that fail before the first piece say."""
        self.hold_after: int | None = None
        """Requests that are answered; those behind them wait for `held`."""
        self.held = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        self.requests: list[inference_pb.GenerateRequest] = []
        self.loaded: list[str] = []
        self.embedded: list[list[str]] = []
        self.counted: list[inference_pb.CountTokensRequest] = []
        self._in_hand = InHand()
        self.deadlines: list[float] = []

    @property
    def in_flight(self) -> int:
        """Answers that are being generated."""
        return self._in_hand.in_flight

    @property
    def cancelled(self) -> int:
        """Answers that were cancelled."""
        return self._in_hand.cancelled

    async def Generate(
        self, request: inference_pb.GenerateRequest, context: Any
    ) -> AsyncIterator[inference_pb.GenerateResponse]:
        self.requests.append(request)
        number = len(self.requests)
        self.deadlines.append(context.time_remaining())
        if self.fail_before is not None:
            raise self.fail_before
        if request.model in self.fail_versions:
            raise self.fail_versions[request.model]
        version_id, in_hand = self._version_of(request), self._in_hand
        in_hand.in_flight += 1
        try:
            if self.hold_after is not None and number > self.hold_after:
                await self.held.wait()
            for response in self._said(request):
                response.version_id, version_id = version_id, ""
                yield response
            for number in itertools.count() if self.endless else ():
                yield inference_pb.GenerateResponse(text_delta=f"{number} ")
                await asyncio.sleep(0.01)
            while request.model in self.endless_versions:
                yield inference_pb.GenerateResponse(text_delta="on ")
                await asyncio.sleep(0.01)
            await asyncio.sleep(self.lasts)
            if self.fail_after is not None:
                raise self.fail_after
            for index in range(request.answers or 1):
                response = self._end(request, index)
                response.version_id, version_id = version_id, ""
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            # Which of the two it is depends on whether the call was cancelled while it was sending.
            in_hand.cancelled += 1
            raise
        finally:
            in_hand.in_flight -= 1

    def _version_of(
        self,
        request: inference_pb.GenerateRequest
        | inference_pb.EmbedRequest
        | inference_pb.CountTokensRequest,
    ) -> str:
        """By the rule of the real one; what is no version id is an alias."""
        if request.model in self.names:
            return self.names[request.model]
        fallback = request.fallback_version_id
        is_known = request.model.startswith("mv-") and request.model not in self.cannot_run
        version_id = request.model if is_known or not fallback else fallback
        if version_id in self.cannot_run:
            raise NotFoundError(f"model version {version_id} cannot be served: no engine runs it")
        return version_id

    def _said(
        self, request: inference_pb.GenerateRequest
    ) -> Iterator[inference_pb.GenerateResponse]:
        for place, response in enumerate((*self._text(request), *self._calls(request)), 1):
            if self.counts:
                response.prompt_tokens = 7 if place == 1 else 0
                response.completion_tokens = place
            yield response

    def _text(
        self, request: inference_pb.GenerateRequest
    ) -> Iterator[inference_pb.GenerateResponse]:
        """The answers' pieces, taking turns; each piece is a token."""
        said = [self.answers.get(index, self.pieces) for index in range(request.answers or 1)]
        for turn in itertools.zip_longest(*said):
            for index, piece in enumerate(turn):
                if piece is not None:
                    yield inference_pb.GenerateResponse(
                        text_delta=piece, index=index, logprobs=self._logprobs(request, piece)
                    )

    def _calls(
        self, request: inference_pb.GenerateRequest
    ) -> Iterator[inference_pb.GenerateResponse]:
        for index in range(request.answers or 1):
            for place, (name, arguments) in enumerate(self.calls):
                call = ToolCall(id=f"call0000{place}", name=name, arguments=arguments)
                yield inference_pb.GenerateResponse(index=index, tool_calls=[call])

    def _logprobs(
        self, request: inference_pb.GenerateRequest, piece: str
    ) -> list[inference_pb.TokenLogprob]:
        if not request.options.HasField("logprobs"):
            return []
        likely = [piece.encode(), *self.alternatives][: request.options.logprobs]
        alternatives = [
            inference_pb.TokenAlternative(token=token, logprob=-1.0 - place)
            for place, token in enumerate(likely)
        ]
        return [
            inference_pb.TokenLogprob(token=piece.encode(), logprob=-1.0, alternatives=alternatives)
        ]

    def _end(
        self, request: inference_pb.GenerateRequest, index: int
    ) -> inference_pb.GenerateResponse:
        said = self.answers.get(index, self.pieces)
        usage = TokenUsage(prompt_tokens=7, completion_tokens=len(said))
        end = inference_pb.GenerationEnd(
            finish_reason=self.finish_reason,
            usage=usage,
            version_id=self._version_of(request),
            cascade=self.cascade,
            stop_text=self.stop_text,
        )
        return inference_pb.GenerateResponse(end=end, index=index)

    async def Embed(
        self, request: inference_pb.EmbedRequest, context: Any
    ) -> inference_pb.EmbedResponse:
        self.embedded.append(list(request.texts))
        self.deadlines.append(context.time_remaining())
        if self.fail_before is not None:
            raise self.fail_before
        if self.hold_after is not None:
            await self.held.wait()
        return inference_pb.EmbedResponse(
            embeddings=[inference_pb.Embedding(values=[0.6, -0.8]) for _ in request.texts],
            version_id=self._version_of(request),
            usage=TokenUsage(prompt_tokens=3 * len(request.texts)),
        )

    async def CountTokens(
        self, request: inference_pb.CountTokensRequest, context: Any
    ) -> inference_pb.CountTokensResponse:
        self.counted.append(request)
        self.deadlines.append(context.time_remaining())
        if self.fail_before is not None:
            raise self.fail_before
        return inference_pb.CountTokensResponse(
            prompt_tokens=len(request.conversation.messages) * 10,
            version_id=self._version_of(request),
        )

    async def ListServing(
        self, request: inference_pb.ListServingRequest, context: Any
    ) -> inference_pb.ListServingResponse:
        return self.serving

    async def LoadModel(
        self, request: inference_pb.LoadModelRequest, context: Any
    ) -> inference_pb.LoadModelResponse:
        if self.fail_load is not None:
            raise self.fail_load
        self.loading.append(request.version_id)
        if request.version_id in self.load_gates:
            await self.load_gates[request.version_id].wait()
        self.loaded.append(request.version_id)
        return inference_pb.LoadModelResponse(engine="fake")


class FakeModeration(FakePolicies, FakeJudges, ModerationServiceServicer):
    """Judges by a real compiled policy."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.policy = policy
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and answer."""
        self.forget_policies()
        self.forget_windows()
        self.requests: list[moderation_pb.CheckRequest] = []
        self.fail: DomainError | None = None
        self.hang: asyncio.Event | None = None
        """No text is judged before it is set."""
        self.unanswered: list[str] = []
        """Judges that give no opinion on inputs."""

    async def Check(
        self, request: moderation_pb.CheckRequest, context: Any
    ) -> moderation_pb.CheckResponse:
        self.requests.append(request)
        if self.hang is not None:
            await self.hang.wait()
        if self.fail is not None:
            raise self.fail
        verdict = self.policy.check(request.text, Direction.INPUT)
        matches = [
            moderation_pb.RuleMatch(
                rule_id=match.rule_id,
                category=match.category,
                action=match.action.value,
                start=match.start,
                end=match.end,
            )
            for match in verdict.matches
        ]
        answer = moderation_pb.Verdict(
            action=verdict.action.value,
            matches=matches,
            text=verdict.text,
            policy_digest=verdict.policy_digest,
            unanswered_judges=self.unanswered,
        )
        return moderation_pb.CheckResponse(verdict=answer)
