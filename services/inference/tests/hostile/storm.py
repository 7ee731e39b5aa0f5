"""Many hostile requests at once, and healthy ones beside them that must not notice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from grpc.aio import AioRpcError
from modelmill_inference.adapters.engine_process import EngineProcess
from modelmill_inference.adapters.openvino import EXACT, MODULE, OpenVinoKind, PipelineOptions
from modelmill_inference.domain.generation import ScoreRequest
from modelmill_service_kit.errors import DomainError
from modelmill_testkit.processes import children_that_run
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from ..support import Service, nats_and_inference
from .requests import (
    embed_request,
    engine_request,
    generate_request,
    plain_request,
    score_request,
)

AT_ONCE = 8
SECONDS_EACH = 30.0

AdmissionRequest = Callable[[Random], Awaitable[str]]
"""Sends one request; returns how it ended."""
Healthy = Callable[[], Awaitable[object]]
"""Sends a healthy request; what it returns must always be the same."""


@dataclass
class Outcome:
    """What became of a storm."""

    hostile: Counter[str] = field(default_factory=Counter)
    """How those ended, and how many did so."""
    healthy: int = 0
    restarts: int = 0
    """Engine processes that were not there before."""
    harmed: list[str] = field(default_factory=list)
    """Healthy requests that failed, or were told something else than alone."""


async def storm_engine(folder: Path, tokenizer: ChatTokenizer, *, count: int, seed: int) -> Outcome:
    """Into the engine's pipe, past all checks."""
    engine = OpenVinoKind(PipelineOptions(properties=EXACT)).engine_for(folder, tokenizer.eos_ids)
    await engine.load()
    try:
        healthy = [_healthy_answer(engine, number) for number in range(3)]
        healthy.append(_healthy_score(engine))
        return await _storm(_asking_engine(engine), healthy, count=count, seed=seed)
    finally:
        await engine.close()


async def storm_service(
    digest: str, artifacts: Path, folder: Path, *, count: int, seed: int
) -> Outcome:
    """Over gRPC.

    Args:
        folder: for the broker.
    """
    async with nats_and_inference(folder, artifacts) as service:
        model = await service.served(digest)
        healthy = [_healthy_call(service, model, text) for text in ("a dog", "价格 12 🙂", "x")]
        return await _storm(_asking_service(service, model), healthy, count=count, seed=seed)


async def _storm(
    ask: AdmissionRequest, healthy: Sequence[Healthy], *, count: int, seed: int
) -> Outcome:
    outcome, numbers = Outcome(), iter(range(count))
    alone = [await one() for one in healthy]
    processes = _engine_processes()
    over = asyncio.Event()

    async def send() -> None:
        for number in numbers:
            async with asyncio.timeout(SECONDS_EACH):
                outcome.hostile[await ask(Random(f"{seed} {number}"))] += 1

    async def watch(one: Healthy, expected: object) -> None:
        while not over.is_set():
            try:
                got = await one()
            except (DomainError, AioRpcError) as error:
                got = error
            outcome.healthy += 1
            if got != expected:
                outcome.harmed.append(f"{got!r} for {expected!r}")

    async with asyncio.TaskGroup() as watching:
        for one, expected in zip(healthy, alone, strict=True):
            watching.create_task(watch(one, expected))
        try:
            async with asyncio.TaskGroup() as sending:
                for _ in range(AT_ONCE):
                    sending.create_task(send())
        finally:
            over.set()
    outcome.restarts = len(_engine_processes() - processes)
    return outcome


def _engine_processes() -> set[int]:
    return {child.pid for child in children_that_run(MODULE)}


def _asking_engine(engine: EngineProcess) -> AdmissionRequest:
    """A half of them leaves early."""

    async def ask(random: Random) -> str:
        leaves_after = random.choice((0, 1, 3, None, None, None))
        try:
            async with aclosing(engine.generate(engine_request(random))) as pieces:
                number = 0
                async for _ in pieces:
                    number += 1
                    if number == leaves_after:
                        return "left"
        except DomainError as error:
            return type(error).__name__
        return "answered"

    return ask


def _asking_service(service: Service, model: str) -> AdmissionRequest:
    """A fifth of those who want text leaves early."""

    async def ask(random: Random) -> str:
        try:
            match random.randrange(10):
                case 0:
                    await service.stub.Score(score_request(random, model), timeout=SECONDS_EACH)
                case 1:
                    await service.stub.Embed(embed_request(random, model), timeout=SECONDS_EACH)
                case _:
                    return await _generate(service, random, model)
        except AioRpcError as error:
            return error.code().name
        return "answered"

    return ask


async def _generate(service: Service, random: Random, model: str) -> str:
    stream = service.stub.Generate(generate_request(random, model), timeout=SECONDS_EACH)
    if random.random() < 0.2:
        await asyncio.sleep(random.choice((0.0, 0.001, 0.01)))
        stream.cancel()
        return "left"
    return "answered" if [response async for response in stream] else "silent"


def _healthy_answer(engine: EngineProcess, number: int) -> Healthy:
    async def tokens() -> object:
        async with aclosing(engine.generate(plain_request(number))) as pieces:
            return [token async for piece in pieces for token in piece.tokens]

    return tokens


def _healthy_score(engine: EngineProcess) -> Healthy:
    async def score() -> object:
        return await engine.score(ScoreRequest((20, 30, 40), ((50, 60), (70,))))

    return score


def _healthy_call(service: Service, model: str, text: str) -> Healthy:
    async def answer() -> object:
        answer = await service.answer(model, text=text, max_new_tokens=16)
        return answer.text, answer.end.usage.completion_tokens

    return answer
