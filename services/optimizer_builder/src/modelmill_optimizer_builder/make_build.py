"""Use case, in the child: a source becomes a build that is proven small, fast and still good."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

from modelmill_evaluation.choices import ChoiceQuestion, answer_questions, choice_questions
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from modelmill_optimizer_builder.domain.quality import (
    TUNED,
    compare,
    evaluation_record,
    interval_figures,
    refuse_loss,
    speed_figures,
    tuned_answers,
)

Side = Literal["reference", "built"]
Report = Callable[[str, int, int, str], None]
"""Told a phase, units done, units in all (0 when unknown) and the word for the units."""

SPEED_PROMPTS = 5
PLAIN_PROMPTS = (
    "What is the capital of France?",
    "Name three kinds of birds.",
    "Tell me about the history of ships.",
)
"""Asked when there is no dataset to take prompts from."""


@dataclass(frozen=True)
class Source:
    """Local folders of what a build is made from."""

    base: Path
    """Hugging Face folder; the fine-tuned model itself when there is no adapter."""

    adapter: Path | None

    @property
    def trained(self) -> Path:
        """What training made, or the import."""
        return self.adapter or self.base

    @property
    def tokenizer(self) -> Path:
        """Where the tokenizer that it was trained with lies."""
        own = self.adapter
        return own if own is not None and (own / "tokenizer.json").is_file() else self.base


@dataclass(frozen=True)
class BuildOrder:
    """One build.

    Args:
        dataset: Folder with `test.jsonl`; None scores nothing.
        choices: Answers to choose among; none scores nothing.
        max_rows: Of the test split; 0 for all.
        tuned: The trainer's evaluation.json on the same dataset, if there is one.
    """

    form: str
    source: Source
    dataset: Path | None
    choices: tuple[str, ...]
    max_rows: int
    max_accuracy_loss: float
    tuned: Path | None
    scratch: Path
    target: Path
    """Folder that becomes the artifact."""


class Made(Protocol):
    """A build and its bf16 reference, both ready to run in the engine they are for."""

    names: Mapping[Side, str]
    """What evaluation.json calls the two, for example "bf16" and "int8"."""
    reference_bytes: int
    """Of the weights in bf16, as safetensors."""
    built_bytes: int
    """Of the model files of the build."""
    context_tokens: int
    parity: Mapping[str, Any]
    """How like the source it is, for the manifest; see `modelmill_evaluation.parity`."""
    parity_figures: Mapping[str, float]
    """The same as figures of the version."""

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        """As a ContinuationScorer, one question after the other."""

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        """By round, of one request in flight; told (rounds done, rounds in all)."""


class TargetForm(Protocol):
    """A way to make a model smaller or faster. Each is one module in `adapters`."""

    def make(
        self,
        source: Source,
        prompts: Sequence[Sequence[int]],
        scratch: Path,
        target: Path,
        report: Report,
    ) -> Made:
        """Write the build to `target` and its reference to `scratch`, and see that they agree.

        Raises:
            ParityError: The build is not the same model; its code is the fault's name.
        """


@dataclass(frozen=True)
class Result:
    """What is known of a build."""

    figures: dict[str, float]
    parity: dict[str, Any]


class MakeBuild:
    """Builds, scores before and after, measures, and writes evaluation.json beside the build."""

    def __init__(self, form: TargetForm, report: Report) -> None:
        self._form = form
        self._report = report

    def __call__(self, order: BuildOrder) -> Result:
        """Make the build; what was measured of it.

        Raises:
            ParityError: The build is not the same model.
            QualityLossError: It answers fewer rows than allowed.
            InvalidInputError: The source's tokenizer or the dataset cannot be read.
            LimitError: The tokenizer or chat template took more than it may.
        """
        tokenizer = BoundedTokenizer.load(order.source.tokenizer)
        questions = _questions(order, tokenizer)
        prompts = _prompts(questions, tokenizer)
        made = self._form.make(order.source, prompts, order.scratch, order.target, self._report)
        figures = {
            "bytes": float(made.built_bytes),
            "bytes_bf16": float(made.reference_bytes),
            "size_ratio": made.built_bytes / made.reference_bytes,
            "context_tokens": float(made.context_tokens),
            **made.parity_figures,
        }
        record, quality = self._score(order, made, questions)
        figures |= quality
        speed = made.tokens_per_second(
            prompts, lambda done, rounds: self._report("measure", done, rounds, "round")
        )
        figures |= speed_figures(speed["reference"], speed["built"])
        (order.target / "evaluation.json").write_text(json.dumps(record), encoding="utf-8")
        return Result(figures, dict(made.parity))

    def _score(
        self, order: BuildOrder, made: Made, questions: Sequence[ChoiceQuestion]
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """The record for evaluation.json and its figures; refuses a build that loses too much."""
        if not questions:
            return evaluation_record((), {}, ()), {}
        reference = self._answers(made, "reference", questions, already=0)
        built = self._answers(made, "built", questions, already=len(questions))
        quality = compare(reference, built)
        refuse_loss(quality, order.max_accuracy_loss, order.form)
        figures = {"test_rows": float(len(questions))}
        figures |= interval_figures("accuracy", quality.built)
        figures |= interval_figures("accuracy_source", quality.reference)
        figures |= interval_figures("accuracy_loss", quality.loss)

        name = made.names["built"]
        answers = {made.names["reference"]: reference, name: built}
        differences = [(name, made.names["reference"])]
        tuned = tuned_answers(_read_json(order.tuned), order.choices, len(questions))
        if tuned is not None:
            trained = compare(tuned, built)
            figures |= interval_figures("accuracy_tuned", trained.reference)
            figures |= interval_figures("accuracy_loss_tuned", trained.loss)
            answers[TUNED] = tuned
            differences.append((name, TUNED))
        return evaluation_record(order.choices, answers, differences), figures

    def _answers(
        self, made: Made, side: Side, questions: Sequence[ChoiceQuestion], *, already: int
    ) -> list[bool]:
        scores = made.scores(side, questions)

        def on_progress(done: int, rows: int) -> None:
            self._report("score", already + done, 2 * rows, "row")

        return answer_questions(questions, lambda _prompt, _choices: next(scores), on_progress)


def _questions(order: BuildOrder, tokenizer: ChatTokenizer) -> list[ChoiceQuestion]:
    if order.dataset is None or not order.choices:
        return []
    with (order.dataset / "test.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, order.max_rows or None)]
    try:
        return choice_questions(rows, order.choices, tokenizer)
    except ValueError as error:
        raise InvalidInputError(f"the test split cannot be scored: {error}") from error


def _prompts(questions: Sequence[ChoiceQuestion], tokenizer: ChatTokenizer) -> list[list[int]]:
    """What speed is measured and parity checked with: the dataset's own prompts, if it has any."""
    if questions:
        return [list(question.prompt_ids) for question in questions[:SPEED_PROMPTS]]
    return [tokenizer.encode_prompt([{"role": "user", "content": text}]) for text in PLAIN_PROMPTS]


def _read_json(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
