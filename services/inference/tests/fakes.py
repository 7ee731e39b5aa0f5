"""An engine without a model, held to the contract of the real ones, and a loader of it."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.domain.generation import (
    Abilities,
    ChosenToken,
    ContinuationScore,
    GenerationRequest,
    LikelyToken,
    ModelLimits,
    ScoreRequest,
    TokenPiece,
)
from inference.load_version import LoadedVersion
from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelServing
from service_kit.errors import DomainError, NotFoundError, UnavailableError
from tokenization.chat_tokenizer import ChatTokenizer

LIMITS = ModelLimits(context_tokens=512, vocabulary=384)


class FakeEngine:
    """Tokens drawn from a generator that is seeded with all that a real answer depends on."""

    abilities = Abilities(exact=True, logprobs=2, score=True, embed=True)

    def __init__(self) -> None:
        self.loaded = False
        self.closed = False
        self.in_flight = 0
        self.broken: asyncio.Queue[str] = asyncio.Queue()

    async def load(self) -> None:
        self.loaded = True

    async def until_broken(self) -> str:
        return await self.broken.get()

    async def close(self) -> None:
        self.closed = True

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        drawn_by = replace(request, max_new_tokens=0, logprobs=None, may_gather=False)
        if not request.temperature or request.top_k == 1:
            drawn_by = replace(drawn_by, seed=0, temperature=0, top_p=1.0, top_k=0)
        draw = random.Random(repr(drawn_by))
        self.in_flight += 1
        try:
            for left in range(request.max_new_tokens - 1, -1, -1):
                await self._breathe()
                token = draw.randrange(3, LIMITS.vocabulary)
                yield TokenPiece(
                    (token,), None if left else "length", _chosen(token, request.logprobs)
                )
        finally:
            self.in_flight -= 1

    async def score(self, request: ScoreRequest) -> list[ContinuationScore]:
        await self._breathe()
        return [
            ContinuationScore(
                -sum(
                    1 + _dice((*request.prompt, *continuation[:place]), token)
                    for place, token in enumerate(continuation)
                ),
                is_greedy=False,
            )
            for continuation in request.continuations
        ]

    async def embed(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        await self._breathe()
        return [_unit([_dice(tuple(text), place) + 0.1 for place in range(8)]) for text in texts]

    async def _breathe(self) -> None:
        await asyncio.sleep(0)
        if self.closed:
            raise UnavailableError("the engine was stopped; retry")


def _dice(*of: Any) -> float:
    """From 0 to 1, the same for the same."""
    return random.Random(repr(of)).random()


def _chosen(token: int, alternatives: int | None) -> tuple[ChosenToken, ...]:
    if alternatives is None:
        return ()
    likely = [LikelyToken(token, -0.5), LikelyToken(token - 1, -1.5)]
    return (ChosenToken(-0.5, tuple(likely[:alternatives])),)


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector]


@dataclass(frozen=True)
class FakeKind:
    name: str = "fake"

    def can_run(self, form: str) -> bool:
        return form.startswith("openvino-")

    def can_adapt(self, form: str) -> bool:
        return self.can_run(form)

    def engine_for(
        self, folder: Path, end_tokens: frozenset[int], adapter: Path | None = None
    ) -> FakeEngine:
        return FakeEngine()


@dataclass
class FakeLoader:
    """Counts loads; can be held up, and told to fail."""

    tokenizer: ChatTokenizer
    loads: list[str] = field(default_factory=list)
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    open_gate: asyncio.Event = field(default_factory=asyncio.Event)
    failure: DomainError | None = None

    def __post_init__(self) -> None:
        self.open_gate.set()

    def kind_of(self, model: ModelReady) -> FakeKind:
        kind = FakeKind()
        if not kind.can_run(model.form):
            raise NotFoundError(f"no engine runs {model.form}")
        return kind

    async def __call__(self, model: ModelReady) -> LoadedVersion:
        self.loads.append(model.version_id)
        await self.open_gate.wait()
        if self.failure is not None:
            raise self.failure
        engine = self.engines[model.version_id] = FakeEngine()
        await engine.load()
        return LoadedVersion(
            version_id=model.version_id,
            owner=model.tenant,
            engine_name="fake",
            engine=engine,
            tokenizer=self.tokenizer,
            limits=LIMITS,
            load_seconds=0.5,
        )


@dataclass
class FakeModels:
    """Versions by tenant and id."""

    versions: dict[tuple[str, str], ModelReady] = field(default_factory=dict)

    def add(self, version_id: str, tenant: str = "acme", form: str = "openvino-int8") -> None:
        model = ModelReady(version_id=version_id, tenant=tenant, form=form)
        self.versions[tenant, version_id] = model

    def get(self, tenant: str, version_id: str) -> ModelReady:
        try:
            return self.versions[tenant, version_id]
        except KeyError:
            raise NotFoundError(f"no model {version_id!r}") from None


@dataclass
class HeardFacts:
    """What was said about serving."""

    facts: list[ModelServing] = field(default_factory=list)

    def say(self, fact: ModelServing) -> None:
        self.facts.append(fact)

    def of(self, version_id: str) -> list[str]:
        states = ModelServing.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
        return [
            states[fact.state].name.removeprefix("SERVING_STATE_")
            for fact in self.facts
            if fact.version_id == version_id
        ]
