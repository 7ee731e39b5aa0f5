"""An engine without a model, held to the contract of the real ones, and a loader of it."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelServing, ServingState
from modelmill_inference.admit_requests import AdmissionPlan
from modelmill_inference.domain.generation import (
    Abilities,
    ChosenToken,
    ContinuationScore,
    GenerationRequest,
    LikelyToken,
    ModelLimits,
    ScoreRequest,
    TokenPiece,
)
from modelmill_inference.domain.memory import MemoryNeed
from modelmill_inference.domain.sampling import MIN_TOP_P
from modelmill_inference.find_engine import EngineChoice
from modelmill_inference.load_version import LoadedVersion, ModelFiles, PreparedVersion
from modelmill_registry.default_build import SOURCE_FORMS
from modelmill_service_kit.errors import DomainError, NotFoundError, UnavailableError
from modelmill_testkit.in_process_tokenizers import InProcess
from modelmill_tokenization.bounded.opened import OpenTokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

LIMITS = ModelLimits(context_tokens=512, vocabulary=384)
PATIENT = AdmissionPlan(sequences=64, waiting=256, tokens=0, cache_bytes=2**30, seconds=60.0)
"""Admission for tests in which nobody has to wait."""


class FakeEngine:
    """Tokens drawn from a generator that is seeded with all that a real answer depends on."""

    abilities = Abilities(exact=True, logprobs=2, score=True, embed=True)

    def __init__(self, adapter: Path | None = None) -> None:
        self.adapter = adapter
        self.resident = 0
        self.loaded = False
        self.closed = False
        self.in_flight = 0
        self.seconds = 0.0
        """Between tokens."""
        self.broken: asyncio.Queue[str] = asyncio.Queue()

    async def load(self) -> None:
        self.loaded = True

    def resident_bytes(self) -> int:
        return self.resident

    async def until_broken(self) -> str:
        return await self.broken.get()

    async def close(self) -> None:
        self.closed = True

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenPiece, None]:
        drawn_by = replace(request, max_new_tokens=0, logprobs=None, may_gather=False, tenant="")
        if not request.temperature or request.top_k == 1 or request.top_p == MIN_TOP_P:
            drawn_by = replace(drawn_by, seed=0, temperature=0, top_p=1.0, top_k=0)
        draw = random.Random(repr((drawn_by, self.adapter)))
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
        await asyncio.sleep(self.seconds)
        if self.closed:
            raise UnavailableError("the engine was stopped. Retry")


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
        return FakeEngine(adapter)


@dataclass
class FakeLoader:
    """Counts loads; can be held up, and told to fail."""

    tokenizer: ChatTokenizer
    loads: list[str] = field(default_factory=list)
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    open_gate: asyncio.Event = field(default_factory=asyncio.Event)
    failure: DomainError | None = None
    needs: dict[str, MemoryNeed] = field(default_factory=dict)
    """By version; those not named need nothing."""
    resident: dict[str, int] = field(default_factory=dict)
    """What their engines turn out to hold."""
    kind: type[FakeEngine] = FakeEngine

    def __post_init__(self) -> None:
        self.open_gate.set()

    def check(self, model: ModelReady) -> str:
        kind = FakeKind()
        if not kind.can_run(model.form):
            raise NotFoundError(f"no engine runs {model.form}")
        return kind.name

    async def prepare(self, model: ModelReady) -> PreparedVersion:
        files = ModelFiles({}, Path(), LIMITS, weight_bytes=0)
        opened = OpenTokenizer(self.tokenizer, InProcess(self.tokenizer))
        need = self.needs.get(model.version_id, MemoryNeed(model.version_id, 0, 0))
        runs = EngineChoice(FakeKind(), model)
        return PreparedVersion(model, runs, Path(), None, files, opened, need, began=0.0)

    async def open(self, prepared: PreparedVersion) -> LoadedVersion:
        model = prepared.model
        self.loads.append(model.version_id)
        await self.open_gate.wait()
        if self.failure is not None:
            raise self.failure
        engine = self.engines[model.version_id] = self.kind()
        engine.resident = self.resident.get(model.version_id, 0)
        await engine.load()
        return LoadedVersion(
            version_id=model.version_id,
            owner=model.tenant,
            engine_name="fake",
            engine=engine,
            tokenizer=self.tokenizer,
            prompts=InProcess(self.tokenizer),
            limits=LIMITS,
            load_seconds=0.5,
        )


def plenty_free() -> int:
    """Free memory of a machine on which it is never short."""
    return 2**40


@dataclass
class FakeMachine:
    """So much is free beside what engines hold."""

    free: int = 2**40

    def free_bytes(self) -> int:
        return self.free


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

    def builds_of(
        self, version_id: str, form_prefix: str = "", *, tenant: str | None = None
    ) -> list[ModelReady]:
        return [
            model
            for (owner, _), model in reversed(self.versions.items())
            if model.parent_version_id == version_id
            and owner == tenant
            and model.form.startswith(form_prefix)
            and model.form not in SOURCE_FORMS
        ]


@dataclass
class HeardFacts:
    """What was said about serving."""

    facts: list[ModelServing] = field(default_factory=list)

    def announce(self, fact: ModelServing) -> None:
        self.facts.append(fact)

    def of(self, version_id: str) -> list[str]:
        """States that its loads came to; that one had begun is not among them."""
        states = ModelServing.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
        return [
            states[fact.state].name.removeprefix("SERVING_STATE_")
            for fact in self.facts
            if fact.version_id == version_id and fact.state != ServingState.SERVING_STATE_LOADING
        ]
