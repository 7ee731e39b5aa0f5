"""A small model answers where it is sure, a large one where it is not; the answer says which."""

import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from modelmill_inference.admit_requests import EngineQueues
from modelmill_inference.answer_writer import AnswerPart
from modelmill_inference.calibrate_cascade import (
    CalibrateCascade,
    CalibrateCommand,
    CalibrationExample,
)
from modelmill_inference.cascade_text import CascadeText
from modelmill_inference.domain.cascade import Cascade
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.lease_version import VersionPool
from modelmill_inference.memory_budget import MemoryBudget, MemoryLimits
from modelmill_inference.render_prompt import Prompt
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .fakes import PATIENT, FakeLoader, FakeModels, HeardFacts, plenty_free

SMALL, LARGE = "mv-small", "mv-large"
SURE = math.exp(-0.5)
"""What the fake engine gives each of its tokens."""
TOKENS = 6


class House:
    """Both models, and a cascade over them."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.models, self.loader = FakeModels(), FakeLoader(tokenizer)
        room = MemoryBudget(plenty_free, MemoryLimits(2**40))
        self.pool = VersionPool(self.models, self.loader, HeardFacts(), room, max_in_flight=8)
        generate = GenerateText(self.pool, EngineQueues(PATIENT))
        self.cascade, self.calibrate = CascadeText(generate), CalibrateCascade(generate)
        for version_id in (SMALL, LARGE):
            self.models.add(version_id)

    async def parts(
        self, threshold: float, prompt: str = "the kind", **options: Any
    ) -> list[AnswerPart]:
        wanted = SamplingOptions(**({"max_new_tokens": TOKENS} | options))
        command = GenerateCommand("acme", LARGE, Prompt(None, prompt), wanted)
        async with aclosing(self.cascade(command, Cascade(SMALL, threshold))) as parts:
            return [part async for part in parts]


@pytest_asyncio.fixture
async def house(tokenizer: ChatTokenizer) -> AsyncIterator[House]:
    house = House(tokenizer)
    yield house
    await house.pool.close()


async def test_an_answer_that_the_small_model_is_sure_of_stands(house: House) -> None:
    parts = await house.parts(SURE - 0.01)

    end = parts[-1].end
    assert end is not None
    assert end.version_id == SMALL
    assert end.cascade is not None
    assert not end.cascade.escalated
    assert end.cascade.confidence == pytest.approx(SURE)
    assert end.cascade.spared_tokens == end.prompt_tokens + TOKENS
    assert end.cascade.extra_tokens == 0
    assert house.loader.loads == [SMALL]


async def test_an_answer_that_it_is_not_sure_of_is_the_large_models(house: House) -> None:
    parts = await house.parts(SURE + 0.01)

    end = parts[-1].end
    assert end is not None
    assert end.version_id == LARGE
    assert end.cascade is not None
    assert end.cascade.escalated
    assert end.cascade.spared_tokens == 0
    assert end.cascade.extra_tokens == end.prompt_tokens + TOKENS
    assert house.loader.loads == [SMALL, LARGE]


@pytest.mark.parametrize("threshold", [0.1, 0.9])
async def test_probabilities_are_told_only_to_those_who_asked(
    house: House, threshold: float
) -> None:
    assert not any(part.logprobs for part in await house.parts(threshold))

    asked = await house.parts(threshold, logprobs=1)
    assert sum(len(part.logprobs) for part in asked) == TOKENS


async def test_the_large_model_answers_when_the_small_one_cannot(house: House) -> None:
    del house.models.versions["acme", SMALL]

    parts = await house.parts(0.1)

    end = parts[-1].end
    assert end is not None
    assert end.version_id == LARGE
    assert end.cascade is not None
    assert (end.cascade.confidence, end.cascade.extra_tokens) == (0.0, 0)


async def test_several_answers_are_the_large_models(house: House) -> None:
    parts = await house.parts(0.1, answers=2)

    assert {part.end.version_id for part in parts if part.end} == {LARGE}
    assert house.loader.loads == [LARGE]


async def test_a_bad_request_is_refused_once_and_not_asked_of_the_large_model(
    house: House,
) -> None:
    with pytest.raises(InvalidInputError):
        await house.parts(0.1, top_p=7.0)

    assert house.loader.loads == []


async def test_calibration_asks_both_models_and_finds_what_may_be_believed(house: House) -> None:
    prompts = [f"question {number}" for number in range(12)]
    # The fake models agree: what is right for one is right for the other.
    answers = [await house.parts(math.inf, prompt) for prompt in prompts]
    texts = ["".join(part.text for part in answer) for answer in answers]
    questions = [
        CalibrationExample(Prompt(None, prompt), f" {text}\n" if number % 3 else "something else")
        for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
    ]
    command = CalibrateCommand("acme", SMALL, LARGE, tuple(questions), 0.0, TOKENS)

    found = await house.calibrate(command)

    assert found.threshold == pytest.approx(SURE)
    assert found.accuracy == found.large_accuracy == pytest.approx(8 / 12)
    assert found.small_share == 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"questions": ()}, {"max_loss": 1.5}, {"max_new_tokens": 0}, {"large": SMALL}],
)
async def test_a_calibration_that_makes_no_sense_is_refused(
    house: House, wrong: dict[str, Any]
) -> None:
    questions = (CalibrationExample(Prompt(None, "x"), "y"),)
    command = CalibrateCommand("acme", SMALL, LARGE, questions, 0.0, TOKENS)

    with pytest.raises(InvalidInputError):
        await house.calibrate(replace(command, **wrong))

    assert house.loader.loads == []


async def test_a_calibration_fails_as_its_first_answer_does_and_leaves_nothing_running(
    house: House,
) -> None:
    questions = tuple(CalibrationExample(Prompt(None, f"x {number}"), "y") for number in range(20))
    command = CalibrateCommand("acme", SMALL, "mv-none", questions, 0.0, TOKENS)

    with pytest.raises(NotFoundError):
        await house.calibrate(command)

    assert house.loader.engines[SMALL].in_flight == 0
    assert [served.in_flight for served in house.pool.serving()] == [0]


async def test_without_a_large_model_there_is_no_answer_to_an_unsure_one(house: House) -> None:
    del house.models.versions["acme", LARGE]

    with pytest.raises(NotFoundError):
        await house.parts(0.9)
