"""Use case of the child process: build a form, verify it and measure size, speed and quality."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

from modelmill_evaluation.choices import ChoiceQuestion, answer_questions, choice_questions
from modelmill_registry.default_build import ALLOWED
from modelmill_service_kit.errors import InvalidInputError
from modelmill_tokenization.bounded.here import BoundedTokenizer
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from modelmill_optimizer_builder.domain.build_plan import refuse_larger
from modelmill_optimizer_builder.domain.calibration import AnsweredPrompt, CalibrationSet
from modelmill_optimizer_builder.domain.forms import form_named
from modelmill_optimizer_builder.domain.likelihoods import (
    Likelihoods,
    label_figures,
    perplexity_figures,
)
from modelmill_optimizer_builder.domain.prompt_lookup import LookupMode
from modelmill_optimizer_builder.domain.pruning import Pruning
from modelmill_optimizer_builder.domain.quality import (
    TUNED,
    compare,
    evaluation_record,
    interval_figures,
    refuse_loss,
    speed_figures,
    tuned_answers,
)
from modelmill_optimizer_builder.read_answers import read_open_prompts, read_test_answers
from modelmill_optimizer_builder.read_calibration import read_calibration
from modelmill_optimizer_builder.read_general_text import Texts, read_general_text

Side = Literal["reference", "built"]
Report = Callable[[str, int, int, str], None]
"""Progress callback: phase, units done, total units (0 if unknown), name of the unit."""

SPEED_PROMPTS = 5
PLAIN_PROMPTS = (
    "What is the capital of France?",
    "Name three kinds of birds.",
    "Tell me about the history of ships.",
)
"""Prompts to measure with if there is no dataset."""


@dataclass(frozen=True)
class Source:
    """Local folders of a build's source."""

    base: Path
    """Hugging Face folder; the fine-tuned model itself if there is no adapter."""

    adapter: Path | None

    @property
    def trained(self) -> Path:
        """Folder of the trained or imported artifact."""
        return self.adapter or self.base

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer used in training."""
        own = self.adapter
        return own if own is not None and (own / "tokenizer.json").is_file() else self.base


@dataclass(frozen=True)
class BuildOrder:
    """Request for one build.

    Args:
        dataset: Folder with `test.jsonl`; if None, nothing is scored.
        choices: Answer choices; if empty, nothing is scored.
        max_rows: Scored rows of the test split; 0 for all.
        tuned: The trainer's evaluation.json on the same dataset, if any.
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
    """Output folder, which becomes the artifact."""
    pruning: Pruning | None = None
    """Of a pruned form."""
    prompt_lookup: LookupMode = "auto"
    is_candidate: bool = False
    """Whether a search decides what becomes of it: then it is kept whatever it loses."""

    @property
    def keeps_lossy(self) -> bool:
        """Whether a build that loses more than allowed is marked, not refused."""
        return self.is_candidate or form_named(self.form).keeps_lossy


class BuildPair(Protocol):
    """A build and its bf16 reference, both loadable by their serving engine."""

    names: Mapping[Side, str]
    """Their names in evaluation.json, for example "bf16" and "int8"."""
    reference_bytes: int
    """Size of the bf16 weights as safetensors."""
    built_bytes: int
    """Size of the build's model files."""
    weights_bytes: int
    """Of its weights alone."""
    method: Mapping[str, Any]
    """How its weights were made, for the manifest."""
    context_tokens: int
    parity: Mapping[str, Any]
    """Parity record for the manifest; see `modelmill_evaluation.parity`."""
    made_figures: Mapping[str, float]
    """Metrics of the version that its making measured: the parity record's, and of drafts."""

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        """Log-likelihoods of the choices of each question, in order.

        That of the right choice is exact; of one that cannot win it may be an upper bound.
        """

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        """Log-likelihood of each token of each text after its first, in order."""

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        """Tokens per second by round, one request at a time; empty where no engine here runs it.

        `on_round` is called with (rounds done, total rounds).
        """


@dataclass(frozen=True)
class FormRequest:
    """What a build of one form is made of, and where."""

    source: Source
    prompts: Sequence[Sequence[int]]
    """To measure speed and parity with, as token ids."""
    scratch: Path
    """Folder of the reference."""
    target: Path
    """Folder of the build; not there yet."""
    report: Report
    calibration: CalibrationSet | None = None
    """Of forms that are calibrated."""
    pruning: Pruning | None = None
    """Of a pruned form."""
    open_prompts: Sequence[Sequence[int]] = ()
    """The dataset's own whose answers are texts, as token ids."""
    prompt_lookup: LookupMode = "auto"


class TargetForm(Protocol):
    """Builder of one target form: one module in `adapters`, and an entry in `domain.forms`."""

    def make(self, request: FormRequest) -> BuildPair:
        """Write the build and its reference, and verify that they agree.

        Raises:
            ParityError: The build is not the same model; the code names the fault.
        """


@dataclass(frozen=True)
class Result:
    """Metrics, parity record and method of a build."""

    figures: dict[str, float]
    parity: dict[str, Any]
    method: dict[str, Any]


class MakeBuild:
    """Builds, scores reference and build, measures speed, and writes evaluation.json."""

    def __init__(self, form: TargetForm, report: Report) -> None:
        self._form = form
        self._report = report

    def __call__(self, order: BuildOrder) -> Result:
        """Make the build; returns its measurements.

        Raises:
            ParityError: The build is not the same model.
            NotSmallerError: Its weights are no smaller than in bf16.
            QualityLossError: It loses more accuracy than allowed, and its form keeps none such.
            InvalidInputError: The source's tokenizer or the dataset cannot be read.
            LimitError: The tokenizer or chat template exceeded a time or memory limit.
        """
        tokenizer = BoundedTokenizer.load(order.source.tokenizer)
        questions = _questions(order, tokenizer)
        prompts = _prompts(questions, tokenizer)
        general = read_general_text(tokenizer)
        pair = self._pair(order, prompts, tokenizer, general.judging)
        refuse_larger(order.form, pair.weights_bytes, pair.reference_bytes)
        figures = {
            "bytes": float(pair.built_bytes),
            "bytes_bf16": float(pair.reference_bytes),
            "size_ratio": pair.built_bytes / pair.reference_bytes,
            "context_tokens": float(pair.context_tokens),
            **pair.made_figures,
        }
        if order.keeps_lossy:
            figures[f"accuracy_loss{ALLOWED}"] = order.max_accuracy_loss
        record, quality = self._score(order, pair, questions)
        figures |= quality
        figures |= self._perplexities(order, pair, general.measured, tokenizer)
        speed = pair.tokens_per_second(
            prompts, lambda done, rounds: self._report("measure", done, rounds, "round")
        )
        if speed:
            figures |= speed_figures(speed["reference"], speed["built"])
        (order.target / "evaluation.json").write_text(json.dumps(record), encoding="utf-8")
        return Result(figures, dict(pair.parity), dict(pair.method))

    def _pair(
        self,
        order: BuildOrder,
        prompts: Sequence[Sequence[int]],
        tokenizer: BoundedTokenizer,
        judging: Texts,
    ) -> BuildPair:
        calibration = None
        if form_named(order.form).is_calibrated:
            calibration = read_calibration(order.dataset, tokenizer, judging)
        return self._form.make(
            FormRequest(
                source=order.source,
                prompts=prompts,
                prompt_lookup=order.prompt_lookup,
                open_prompts=() if order.choices else read_open_prompts(order.dataset, tokenizer),
                scratch=order.scratch,
                target=order.target,
                report=self._report,
                calibration=calibration,
                pruning=order.pruning,
            )
        )

    def _score(
        self, order: BuildOrder, pair: BuildPair, questions: Sequence[ChoiceQuestion]
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Content of evaluation.json and its metrics.

        A build that loses too much is rejected, or is known by its metrics.
        """
        if not questions:
            return evaluation_record((), {}, ()), {}
        reference, labels_of_reference = self._answers(pair, "reference", questions, already=0)
        built, labels = self._answers(pair, "built", questions, already=len(questions))
        quality = compare(reference, built)
        if not order.keeps_lossy:
            refuse_loss(quality, order.max_accuracy_loss, order.form)
        figures = {"test_rows": float(len(questions))}
        figures |= interval_figures("accuracy", quality.built)
        figures |= interval_figures("accuracy_source", quality.reference)
        figures |= interval_figures("accuracy_loss", quality.loss)
        figures |= label_figures(labels_of_reference, labels)

        name = pair.names["built"]
        answers = {pair.names["reference"]: reference, name: built}
        differences = [(name, pair.names["reference"])]
        tuned = tuned_answers(_read_json(order.tuned), order.choices, len(questions))
        if tuned is not None:
            trained = compare(tuned, built)
            figures |= interval_figures("accuracy_tuned", trained.reference)
            figures |= interval_figures("accuracy_loss_tuned", trained.loss)
            answers[TUNED] = tuned
            differences.append((name, TUNED))
        return evaluation_record(order.choices, answers, differences), figures

    def _answers(
        self, pair: BuildPair, side: Side, questions: Sequence[ChoiceQuestion], *, already: int
    ) -> tuple[list[bool], list[float]]:
        """Whether each question is answered rightly, and how likely its right answer is."""
        scores = pair.scores(side, questions)
        labels: list[float] = []

        def score(_prompt: Sequence[int], _choices: Sequence[Sequence[int]]) -> Sequence[float]:
            found = next(scores)
            labels.append(found[questions[len(labels)].answer])
            return found

        def on_progress(done: int, rows: int) -> None:
            self._report("score", already + done, 2 * rows, "row")

        return answer_questions(questions, score, on_progress), labels

    def _perplexities(
        self, order: BuildOrder, pair: BuildPair, general: Texts, tokenizer: BoundedTokenizer
    ) -> dict[str, float]:
        """Perplexity of general text and, where answers are no choices, of right answers.

        They are information: no build is refused for them.
        """
        answers: Sequence[AnsweredPrompt] = ()
        if order.dataset is not None and not order.choices:
            answers = read_test_answers(order.dataset, tokenizer, order.max_rows)
        texts = [text[: pair.context_tokens] for text in general]
        answers = [row for row in answers if len(row.read) <= pair.context_tokens]
        asked = [*texts, *(row.read for row in answers)]
        built = self._read(pair, "built", asked)
        reference = self._read(pair, "reference", asked)
        count = len(texts)
        figures = perplexity_figures("general_perplexity", reference[:count], built[:count])
        if answers:
            of_answers = [
                [row.of_answer(found) for row, found in zip(answers, side[count:], strict=True)]
                for side in (reference, built)
            ]
            figures |= perplexity_figures("answer_perplexity", *of_answers)
        return figures

    def _read(self, pair: BuildPair, side: Side, texts: Texts) -> list[Likelihoods]:
        already = 0 if side == "built" else len(texts)
        read = []
        for found in pair.likelihoods(side, texts):
            read.append(found)
            self._report("perplexity", already + len(read), 2 * len(texts), "text")
        return read


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
    """Prompts for speed and parity: the dataset's own, if it has any."""
    if questions:
        return [list(question.prompt_ids) for question in questions[:SPEED_PROMPTS]]
    return [tokenizer.encode_prompt([{"role": "user", "content": text}]) for text in PLAIN_PROMPTS]


def _read_json(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
