"""A tenant whose rules take long: its texts get the same verdicts, and pieces, in threads."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
from gateway_support.house import BLOCKED, MASKED, compiled
from modelmill_gateway.domain.chat import ChatCall, End, Piece, Sampling, Turn, Usage
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.guarding.filtered_answers import FilteredAnswers
from modelmill_gateway.guarding.judge_inputs import JudgeInputs
from modelmill_guard.bundle import CompiledPolicy
from modelmill_guard.judged_text import at_once
from modelmill_guard.verdict import Action
from modelmill_service_kit.errors import DeadlineError
from modelmill_service_kit.work_apart import WorkApart

TEXTS = ["grass", f"the {MASKED} word", f"so {MASKED} and {BLOCKED} end", ""]


@pytest.fixture
def work() -> Iterator[WorkApart]:
    apart = WorkApart()
    apart.keep_apart("acme")
    yield apart
    apart.close()


class Here:
    """Policies and the trail of an input's judge."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def of(self, tenant: str) -> CompiledPolicy:
        return compiled()[1]

    def record(self, judged: Any) -> None:
        self.records.append(judged)


async def nobody(judge: Any, window: Any) -> Any:
    raise AssertionError


async def judged(work: WorkApart, text: str, tenant: str, timeout: float = 20) -> Any:
    here = Here()
    inputs = JudgeInputs(None, here, here, work, here_chars=4096)  # type: ignore[arg-type]
    return await inputs.check_input(text, tenant=tenant, timeout=timeout), here.records[0].matched


@pytest.mark.parametrize("text", [*TEXTS, f"{MASKED} " * 300])
async def test_an_input_gets_the_same_verdict_there(work: WorkApart, text: str) -> None:
    assert await judged(work, text, "acme") == await judged(work, text, "other")


async def test_an_input_that_waits_too_long_for_its_turn_ends_at_its_deadline(
    work: WorkApart,
) -> None:
    done = threading.Event()
    first = asyncio.create_task(work.run("acme", partial(done.wait, 20), 1))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineError, match="rules of the policy take too long"):
        await judged(work, "grass", "acme", timeout=0.05)
    assert (await judged(work, "grass", "other", timeout=60))[0].action is Action.ALLOW
    done.set()
    await first


async def shown(text: str, cuts: list[int], run: Any) -> tuple[list[Piece], Any]:
    async def pieces() -> AsyncIterator[Piece]:
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            yield Piece(text[start:end])
        yield Piece("", End("stop", Usage(1, 1)))

    call = ChatCall("m", (Turn("user", "hello"),), Sampling())
    verdict = InputVerdict(Action.ALLOW, (), "sha256:x", unanswered=(), text="hello")
    answers = FilteredAnswers(compiled()[1], pieces(), 0.0, call, verdict, nobody, run)
    await answers.begin()
    said = [piece async for piece in answers.pieces()]
    await answers.close()
    return said, answers.outputs


@pytest.mark.parametrize("text", TEXTS)
async def test_a_stream_shows_the_same_pieces_there_however_it_is_cut(
    work: WorkApart, text: str
) -> None:
    random = Random(3)
    for _ in range(10):
        cuts = sorted(random.choices(range(len(text) + 1), k=random.randrange(6)))
        there = await shown(text, cuts, partial(work.run, "acme"))
        assert there == await shown(text, cuts, at_once)
