"""An engine without a model, held to the contract of the real ones, and a loader of it."""

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from inference.domain.answer_text import AnswerText
from inference.domain.generation import GenerationRequest, ModelLimits, TextPiece
from inference.load_version import LoadedVersion
from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelServing
from service_kit.errors import DomainError, NotFoundError, UnavailableError
from tokenization.chat_tokenizer import ChatTokenizer

LIMITS = ModelLimits(context_tokens=512, vocabulary=384)


class FakeEngine:
    """Tokens drawn from a generator that is seeded with all that a real answer depends on."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
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

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece, None]:
        seed = request.seed if request.temperature else 0
        draw = random.Random(repr((request.prompt, seed, request.temperature, request.top_p)))
        text = AnswerText(self._tokenizer, request.stop)
        self.in_flight += 1
        try:
            for left in range(request.max_new_tokens - 1, -1, -1):
                await asyncio.sleep(0)
                if self.closed:
                    raise UnavailableError("the engine was stopped; retry")
                out = text.push([draw.randrange(3, LIMITS.vocabulary)])
                if not left:
                    out += text.finish()
                reason = "stop" if text.stopped else None if left else "length"
                yield TextPiece(out, 1, reason)
                if reason:
                    return
        finally:
            self.in_flight -= 1


@dataclass(frozen=True)
class FakeKind:
    name: str = "fake"

    def can_run(self, form: str) -> bool:
        return form.startswith("openvino-")

    def engine_for(self, folder: Path, tokenizer: ChatTokenizer) -> FakeEngine:
        return FakeEngine(tokenizer)


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
        engine = self.engines[model.version_id] = FakeEngine(self.tokenizer)
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
