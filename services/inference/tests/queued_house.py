"""The use cases in front of a fake engine with little room, in virtual time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from modelmill_inference.admit_requests import AdmissionPlan, EngineQueues
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.embed_texts import EmbedTexts
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.render_prompt import Prompt
from modelmill_inference.score_texts import ScoreTexts
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.simulation import virtual_time
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from prometheus_client import REGISTRY

from .fakes import FakeEngine, FakeLoader, FakeModels, HeardFacts, plenty_free

VERSION = "mv-1"
TOKEN_SECONDS = 0.1
PLAN = AdmissionPlan(sequences=2, waiting=8, tokens=0, cache_bytes=0, seconds=5.0)


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class House:
    """The use cases over a pool with one version, whose engine has room for two answers."""

    def __init__(self, tokenizer: ChatTokenizer, plan: AdmissionPlan) -> None:
        models = FakeModels()
        models.add(VERSION)
        for tenant in ("acme", "other"):
            models.versions[tenant, VERSION] = models.versions["acme", VERSION]
        self.loader = FakeLoader(tokenizer)
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(models, self.loader, HeardFacts(), room, max_in_flight=100)
        self.admissions = EngineQueues(plan)
        self.generate = GenerateText(self.pool, self.admissions)
        self.score = ScoreTexts(self.pool, self.admissions)
        self.embed = EmbedTexts(self.pool, self.admissions)

    @property
    def engine(self) -> FakeEngine:
        return self.loader.engines[VERSION]

    async def open(self) -> None:
        async with self.pool.lease("acme", VERSION):
            self.engine.seconds = TOKEN_SECONDS

    async def answer(
        self,
        tokens: int = 10,
        *,
        text: str = "a",
        tenant: str = "acme",
        answers: int = 1,
        seconds: float = 1000.0,
    ) -> float:
        """When it was complete."""
        loop = asyncio.get_running_loop()
        command = GenerateCommand(
            tenant=tenant,
            version_id=VERSION,
            prompt=Prompt(None, text),
            options=SamplingOptions(max_new_tokens=tokens, answers=answers),
            deadline=loop.time() + seconds,
        )
        ends = [part.end async for part in self.generate(command) if part.end is not None]
        assert len(ends) == answers
        return loop.time()

    def begin(self, *args: int, **wanted: Any) -> asyncio.Task[float]:
        return asyncio.create_task(self.answer(*args, **wanted))


def run(tokenizer: ChatTokenizer, story: Any, plan: AdmissionPlan = PLAN) -> None:
    """Play a story; afterwards nothing waits and nothing is held."""

    async def play() -> None:
        house = House(tokenizer, plan)
        await house.open()
        await story(house)
        assert house.engine.in_flight == 0
        assert figure("modelmill_admitted_tokens", version=VERSION) == 0
        assert figure("modelmill_requests_queued", version=VERSION) == 0
        assert figure("modelmill_requests_in_flight", version=VERSION) == 0
        await house.pool.close()

    with virtual_time() as loop:
        loop.run_until_complete(play())


async def refusal_of(work: Coroutine[Any, Any, Any] | asyncio.Task[float]) -> DomainError:
    with pytest.raises(DomainError) as refused:
        await work
    return refused.value
