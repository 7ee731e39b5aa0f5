"""The vllm engine: a vLLM server with its OpenAI-compatible API, one per base model."""

import itertools
import json
from asyncio import Semaphore, create_task, gather
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from contextlib import aclosing
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError

from modelmill_inference.adapters.vllm_api import SilentServerError, UnknownModelError, typed_errors
from modelmill_inference.adapters.vllm_messages import (
    MAX_ALTERNATIVES,
    MAX_TOKENS_ASKED,
    NextTokens,
    completion_body,
    next_body,
    next_of,
    piece_of,
    score_of,
)
from modelmill_inference.adapters.vllm_server import VllmOptions, VllmServer
from modelmill_inference.domain.generation import (
    Abilities,
    ContinuationScore,
    EngineCannotError,
    GenerationRequest,
    ScoreRequest,
    TokenPiece,
)
from modelmill_inference.engine import EngineRestartingError
from modelmill_inference.metrics import ENGINE_TOKENS

NAME = "vllm"
FORM = "safetensors"
PACKED = "compressed-tensors-"
"""Begins the names of forms with packed integer weights."""
HOW_TO_GET = "it is for vLLM: set INFERENCE_VLLM_COMMAND or INFERENCE_VLLM_URL"
COMPLETIONS = "/v1/completions"
QUESTIONS = 32
"""Concurrent requests of one score; each is for one token position."""
# Not exact: vLLM's results depend on the batch. No embeddings: vLLM serves them from a separate
# process, with `--runner pooling`.
ABILITIES = Abilities(logprobs=MAX_ALTERNATIVES, grammar=True, score=True)

_numbers = itertools.count(1)


class VllmEngine:
    """`engine.Engine` on a shared server; an adapter is a model name of its own.

    Args:
        adapter: PEFT folder, readable by the server.
    """

    def __init__(
        self, server: VllmServer, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> None:
        self._server = server
        self._end_tokens = end_tokens
        self._adapter = adapter
        # Names are never reused, because vLLM's cache is keyed by adapter name.
        self._adapter_name = "" if adapter is None else f"{adapter.name}-{next(_numbers)}"
        self._is_open = False

    @property
    def abilities(self) -> Abilities:
        return ABILITIES

    @property
    def server(self) -> VllmServer:
        """The server, shared with engines of other adapters."""
        return self._server

    async def load(self) -> None:
        await self._server.acquire()
        self._is_open = True
        if self._adapter is not None:
            await self._load_adapter()

    def resident_bytes(self) -> int:
        return self._server.resident_bytes()

    async def until_broken(self) -> str:
        return await self._server.until_broken()

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._adapter is not None:
            await self._drop_adapter()
        await self._server.release()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        salt = self._server.salt_of(request.tenant)
        body = completion_body(request, self._model(), self._end_tokens, salt)
        try:
            async with aclosing(self._pieces(body, request.logprobs or 0)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except UnknownModelError:
            if self._adapter is None:
                raise
        # The server has restarted without the adapter.
        await self._load_adapter()
        async with aclosing(self._pieces(body, request.logprobs or 0)) as pieces:
            async for piece in pieces:
                yield piece

    async def score(self, request: ScoreRequest) -> list[ContinuationScore]:
        asked: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for continuation in request.continuations:
            for place, token in enumerate(continuation):
                asked[continuation[:place]].add(token)
        # The first request computes the prompt; the others hit the prefix cache.
        first = await self._next(request, (), asked.pop(()))
        known: dict[tuple[int, ...], NextTokens] = {(): first}
        room = Semaphore(QUESTIONS)

        async def ask(prefix: tuple[int, ...], tokens: set[int]) -> None:
            async with room:
                known[prefix] = await self._next(request, prefix, tokens)

        questions = [create_task(ask(*one)) for one in asked.items()]
        try:
            await gather(*questions)
        finally:
            for question in questions:
                question.cancel()
        return [score_of(continuation, known) for continuation in request.continuations]

    async def embed(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        raise EngineCannotError("the engine of this model makes no embeddings")

    def _model(self) -> str:
        return self._adapter_name or self._server.model

    async def _pieces(
        self, body: Mapping[str, Any], alternatives: int
    ) -> AsyncGenerator[TokenPiece, None]:
        async with aclosing(self._events(body)) as events:
            async for event in events:
                with typed_errors():
                    piece = piece_of(event, alternatives)
                if piece is None:
                    continue
                self._server.record_activity(answer=True)
                ENGINE_TOKENS.labels(engine=NAME).inc(len(piece.tokens))
                yield piece
                if piece.finish_reason is not None:
                    return
        raise EngineRestartingError(died_under_it=True)

    async def _events(self, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        self._check_open()
        try:
            async with aclosing(self._server.api.stream(COMPLETIONS, body)) as events:
                async for event in events:
                    # The server may continue for other engines.
                    self._check_open()
                    yield event
        except SilentServerError:
            await self._server.suspect()
            raise

    async def _next(
        self, request: ScoreRequest, prefix: tuple[int, ...], tokens: Set[int]
    ) -> NextTokens:
        """Next-token log-probabilities after the prompt and a prefix of a continuation."""
        prompt, salt = request.prompt + prefix, self._server.salt_of(request.tenant)
        logprobs: dict[int, float] = {}
        in_order = sorted(tokens)
        for start in range(0, len(in_order), MAX_TOKENS_ASKED):
            some = in_order[start : start + MAX_TOKENS_ASKED]
            answer = await self._ask(next_body(prompt, some, self._model(), salt))
            with typed_errors():
                told = next_of(json.loads(answer), some)
            logprobs |= told.logprobs
        return NextTokens(told.likeliest, logprobs)

    async def _ask(self, body: Mapping[str, Any]) -> bytes:
        self._check_open()
        try:
            answer = await self._server.api.ask(COMPLETIONS, body)
        except UnknownModelError:
            if self._adapter is None:
                raise
            await self._load_adapter()
            answer = await self._server.api.ask(COMPLETIONS, body)
        self._server.record_activity(answer=True)
        return answer

    def _check_open(self) -> None:
        if not self._is_open:
            raise UnavailableError("the engine was stopped. Retry")

    async def _load_adapter(self) -> None:
        body = {"lora_name": self._adapter_name, "lora_path": str(self._adapter)}
        try:
            await self._server.api.ask("/v1/load_lora_adapter", body)
        except InvalidInputError as error:
            if self._adapter_name in await self._server.api.models():
                return
            raise PreconditionError("vLLM refused the adapter; the log says why") from error
        except UnknownModelError as error:
            raise PreconditionError(
                "the vLLM server loads no adapters; it needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
            ) from error

    async def _drop_adapter(self) -> None:
        """Unload the adapter, if the server still runs."""
        try:
            await self._server.api.ask("/v1/unload_lora_adapter", {"lora_name": self._adapter_name})
        except (UnavailableError, PreconditionError, InvalidInputError):
            return


class VllmKind:
    """Factory of vllm engines; engines of one base share a server."""

    name = NAME

    def __init__(self, options: VllmOptions) -> None:
        self._options = options
        self._servers: WeakValueDictionary[Path, VllmServer] = WeakValueDictionary()

    def can_run(self, form: str) -> bool:
        """Imported and fully trained models, and builds with packed weights."""
        return form == FORM or form.startswith(PACKED)

    def can_adapt(self, form: str) -> bool:
        """Whether the server has adapters enabled; they run on weights as they were trained."""
        return form == FORM and self._options.adapters > 0

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> VllmEngine:
        """An engine for the model in `folder`, or for an adapter on it."""
        server = self._servers.get(folder)
        if server is None:
            server = self._servers[folder] = VllmServer(self._options, folder)
        return VllmEngine(server, end_tokens, adapter)
