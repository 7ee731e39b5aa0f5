"""Use case: calibrate the confidence threshold of a cascade on examples."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.cascade import AnsweredExample, Calibration, calibrate, confidence
from modelmill_inference.domain.sampling import SamplingOptions
from modelmill_inference.generate_text import GenerateCommand, GenerateText
from modelmill_inference.render_prompt import Prompt

IN_FLIGHT = 8
"""Concurrent examples; other requests use the engines too."""
MAX_EXAMPLES = 2000


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """A prompt and its correct answer."""

    prompt: Prompt
    answer: str


@dataclass(frozen=True, slots=True)
class CalibrateCommand:
    """A request with resolved versions."""

    tenant: str
    small: str
    large: str
    questions: tuple[CalibrationExample, ...]
    max_loss: float
    max_new_tokens: int


class CalibrateCascade:
    """Generates greedy answers, as a cascade at temperature 0 does."""

    def __init__(self, generate_text: GenerateText) -> None:
        self._generate_text = generate_text

    async def __call__(self, command: CalibrateCommand) -> Calibration:
        """The threshold, with its measured accuracy and share.

        Raises:
            InvalidInputError: the number of examples, the answer length or the loss is invalid.
            As of `GenerateText`.
        """
        _check(command)
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def example(question: CalibrationExample) -> AnsweredExample:
            async with slots:
                return await self._example(command, question)

        answering = [asyncio.create_task(example(each)) for each in command.questions]
        try:
            examples = await asyncio.gather(*answering)
        finally:
            for task in answering:
                task.cancel()
            await asyncio.gather(*answering, return_exceptions=True)
        return calibrate(examples, max_loss=command.max_loss)

    async def _example(
        self, command: CalibrateCommand, question: CalibrationExample
    ) -> AnsweredExample:
        small, sure = await self._answer(command, command.small, question)
        large, _ = await self._answer(command, command.large, question)
        right = question.answer.strip()
        return AnsweredExample(sure, small_is_right=small == right, large_is_right=large == right)

    async def _answer(
        self, command: CalibrateCommand, version_id: str, question: CalibrationExample
    ) -> tuple[str, float]:
        is_small = version_id == command.small
        options = SamplingOptions(
            max_new_tokens=command.max_new_tokens, logprobs=0 if is_small else None
        )
        asked = GenerateCommand(command.tenant, version_id, question.prompt, options)
        async with aclosing(self._generate_text(asked)) as stream:
            parts = [part async for part in stream]
        logprobs = [token.logprob for part in parts for token in part.logprobs]
        return "".join(part.text for part in parts).strip(), confidence(logprobs)


def _check(command: CalibrateCommand) -> None:
    problems: Sequence[str] = [
        problem
        for wrong, problem in (
            (
                not 1 <= len(command.questions) <= MAX_EXAMPLES,
                f"1 to {MAX_EXAMPLES} examples are taken, got {len(command.questions)}",
            ),
            (not 0 <= command.max_loss <= 1, f"max_loss is from 0 to 1, got {command.max_loss}"),
            (command.max_new_tokens < 1, "max_new_tokens is at least 1"),
            (command.small == command.large, "small and large are one version"),
        )
        if wrong
    ]
    if problems:
        raise InvalidInputError(problems)
