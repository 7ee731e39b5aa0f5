"""`MakeBuild` with a target form whose answers the test decides."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_jobs.child import ChildFailure, ChildPort
from modelmill_optimizer_builder import child
from modelmill_optimizer_builder.domain.build_plan import NotSmallerError
from modelmill_optimizer_builder.domain.calibration import SAMPLES, CalibrationSet
from modelmill_optimizer_builder.domain.quality import QualityLossError
from modelmill_optimizer_builder.make_build import BuildOrder, FormRequest, MakeBuild, Side, Source
from modelmill_registry.default_build import is_lossy, is_unscored
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.hostile_models import HOSTILE
from modelmill_tokenization.bounded import LimitError
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from .builders import CHOICES, make_rows

pytestmark = pytest.mark.tier("test")

TRAINING_SEED = 3


class DecidedForm:
    """A form whose reference is always correct, and whose build is correct on the first rows."""

    names: Mapping[Side, str] = {"reference": "bf16", "built": "int8"}
    reference_bytes = 200
    built_bytes = 100
    weights_bytes = 90
    method: Mapping[str, Any] = {"weights": "int8"}
    context_tokens = 512
    parity: Mapping[str, Any] = {"goldens": 5}
    made_figures: Mapping[str, float] = {"parity_greedy_agreement": 0.9}

    def __init__(self, right: int) -> None:
        self._right = right
        self.measured = False
        self.prompts: Sequence[Sequence[int]] = ()
        self.calibration: CalibrationSet | None = None
        self.worse = 0.1
        self.texts: dict[Side, Sequence[Sequence[int]]] = {}

    def make(self, request: FormRequest) -> "DecidedForm":
        request.target.mkdir(parents=True)
        self.calibration = request.calibration
        self.prompts = request.prompts
        return self

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        for number, question in enumerate(questions):
            right = side == "reference" or number < self._right
            yield [float(right == (i == question.answer)) for i in range(len(question.choices))]

    def likelihoods(self, side: Side, texts: Sequence[Sequence[int]]) -> Iterator[Sequence[float]]:
        self.texts[side] = texts
        for text in texts:
            yield [-2.0 if side == "reference" else -2.0 - self.worse] * (len(text) - 1)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        self.measured = True
        return {"reference": [50.0, 40.0, 60.0], "built": [80.0, 100.0, 75.0]}


def dataset_in(root: Path) -> Path:
    dataset = root / "dataset"
    dataset.mkdir()
    lines = [json.dumps(row) for row in make_rows(20)]
    (dataset / "test.jsonl").write_text("\n".join(lines) + "\n")
    trained = [json.dumps(row) for row in make_rows(20, seed=TRAINING_SEED)]
    (dataset / "train.jsonl").write_text("\n".join(trained) + "\n")
    return dataset


def order(base: Path, root: Path, **changes: Any) -> BuildOrder:
    dataset = dataset_in(root)
    return BuildOrder(
        **{
            "form": "openvino-int8",
            "source": Source(base, None),
            "dataset": dataset,
            "choices": CHOICES,
            "max_rows": 0,
            "max_accuracy_loss": 0.1,
            "tuned": None,
            "scratch": root / "scratch",
            "target": root / "build",
            **changes,
        }
    )


def silent(_phase: str, _done: int, _total: int, _unit: str) -> None: ...


def test_an_accepted_build_has_all_metrics(tiny_base: Path, tmp_path: Path) -> None:
    result = MakeBuild(DecidedForm(right=18), silent)(order(tiny_base, tmp_path))
    figures = result.figures

    assert figures["accuracy"] == 0.9
    assert figures["accuracy_source"] == 1.0
    assert figures["accuracy_loss"] == pytest.approx(0.1)
    assert figures["size_ratio"] == 0.5
    assert figures["speedup"] == 1.6
    assert "accuracy_tuned" not in figures
    assert figures["parity_greedy_agreement"] == 0.9
    assert result.parity == {"goldens": 5}


def test_perplexity_of_general_text_is_recorded_beside_the_references_and_refuses_nothing(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)
    form.worse = 3.0

    figures = MakeBuild(form, silent)(order(tiny_base, tmp_path)).figures

    assert figures["general_perplexity_bf16"] == pytest.approx(math.exp(2))
    assert figures["general_perplexity"] == pytest.approx(math.exp(5))
    assert figures["general_perplexity_loss"] == pytest.approx(math.exp(3) - 1)
    assert figures["general_perplexity_loss_low"] == pytest.approx(math.exp(3) - 1)
    assert not is_lossy(ModelReady(metrics=figures))


def test_general_text_of_the_figures_is_neither_calibrated_on_nor_what_methods_are_chosen_by(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)
    MakeBuild(form, silent)(order(tiny_base, tmp_path, form="openvino-int4", dataset=None))
    decode = ChatTokenizer.load(tiny_base).decode
    assert form.calibration is not None
    calibrated = "".join(map(decode, form.calibration.samples))
    judging = {decode(text) for text in form.calibration.judging.texts}
    measured = {decode(text) for text in form.texts["built"]}

    assert form.texts["built"] == form.texts["reference"]
    assert len(measured) > 20
    assert len(judging) > 20
    assert not measured & judging
    assert not [text for text in measured | judging if text[:40] in calibrated]


def test_the_likelihood_of_right_answers_is_recorded_with_its_interval(
    tiny_base: Path, tmp_path: Path
) -> None:
    figures = MakeBuild(DecidedForm(right=18), silent)(order(tiny_base, tmp_path)).figures

    # A right answer scores 1, a wrong one 0.
    assert figures["label_log_likelihood"] == pytest.approx(0.9)
    assert figures["label_log_likelihood_bf16"] == 1.0
    assert figures["label_log_likelihood_loss"] == pytest.approx(0.1)
    assert (
        figures["label_log_likelihood_loss_low"] < 0.1 < figures["label_log_likelihood_loss_high"]
    )


def test_of_answers_that_are_no_choices_the_perplexity_is_recorded(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)
    figures = MakeBuild(form, silent)(order(tiny_base, tmp_path, choices=())).figures
    texts = [list(text) for text in form.texts["built"]]

    assert figures["answer_perplexity_bf16"] == pytest.approx(math.exp(2))
    assert figures["answer_perplexity_loss"] == pytest.approx(math.exp(0.1) - 1)
    assert "accuracy" not in figures
    read = ChatTokenizer.load(tiny_base).decode(texts[-1])
    last = make_rows(20)[-1]["messages"]
    assert isinstance(last, list)
    assert last[0]["content"] in read


def test_methods_are_judged_by_valid_rows_and_never_by_test_rows(
    tiny_base: Path, tmp_path: Path
) -> None:
    form, again = DecidedForm(right=20), DecidedForm(right=20)
    wanted = order(tiny_base, tmp_path, form="openvino-int4")
    valid = make_rows(30, seed=5)
    lines = "".join(json.dumps(row) + "\n" for row in valid)
    (tmp_path / "dataset" / "valid.jsonl").write_text(lines)
    MakeBuild(form, silent)(wanted)
    (tmp_path / "dataset" / "test.jsonl").write_text(json.dumps(make_rows(1, seed=9)[0]) + "\n")
    MakeBuild(again, silent)(replace(wanted, target=tmp_path / "again"))

    assert form.calibration is not None
    judging = form.calibration.judging
    assert (len(judging.rows), judging.split) == (30, "valid")
    assert again.calibration == form.calibration, "it depends on test rows"
    tokenizer = ChatTokenizer.load(tiny_base)
    row = judging.rows[0]
    answer = tokenizer.decode(list(row.ids[row.answer_start : row.answer_end]))
    assert any(answer.startswith(choice) for choice in CHOICES)


def test_without_valid_rows_methods_are_judged_by_training_rows_that_calibration_has_not_read(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)
    wanted = order(tiny_base, tmp_path, form="openvino-int4")
    trained = make_rows(200, seed=TRAINING_SEED)
    lines = "".join(json.dumps(row) + "\n" for row in trained)
    (tmp_path / "dataset" / "train.jsonl").write_text(lines)
    MakeBuild(form, silent)(wanted)

    assert form.calibration is not None
    judging = form.calibration.judging
    assert (len(judging.rows), judging.split) == (200 - form.calibration.training_rows, "train")
    joined = str([token for sample in form.calibration.samples for token in sample])
    assert not [row for row in judging.rows if str(list(row.ids))[1:-1] in joined]


def test_a_refused_build_is_not_measured_and_leaves_no_evaluation(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=17)

    with pytest.raises(QualityLossError, match=r"85\.0%.*100\.0%"):
        MakeBuild(form, silent)(order(tiny_base, tmp_path))

    assert not form.measured
    assert not (tmp_path / "build" / "evaluation.json").exists()


def test_the_child_of_a_build_that_loses_too_much_says_both_accuracies_and_a_remedy(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "load_form", lambda _name: DecidedForm(right=0))
    monkeypatch.setattr(child, "forbid_telemetry", lambda: None)
    asked = {
        **{"form": "openvino-int8", "base": str(tiny_base), "adapter": None, "tuned": None},
        **{"dataset": str(dataset_in(tmp_path)), "choices": CHOICES, "max_rows": 0},
        **{"max_accuracy_loss": 0.02, "target": str(tmp_path / "build"), "is_candidate": False},
    }

    with (tmp_path / "reports").open("wb") as reports, pytest.raises(ChildFailure) as refused:
        child.main(ChildPort(asked, tmp_path, reports.fileno()))

    assert refused.value.code == "QUALITY_LOSS"
    assert "0.0% of the test rows" in refused.value.message
    assert "100.0%" in refused.value.message
    assert "max_accuracy_loss" in refused.value.remedy


def test_an_int4_build_that_loses_too_much_is_kept_and_known_by_its_figures(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=17)

    figures = MakeBuild(form, silent)(order(tiny_base, tmp_path, form="openvino-int4")).figures

    assert form.measured
    assert figures["accuracy_loss"] == pytest.approx(0.15)
    assert figures["accuracy_loss_low"] < figures["accuracy_loss"] < figures["accuracy_loss_high"]
    assert is_lossy(ModelReady(metrics=figures))


def test_a_build_whose_weights_are_no_smaller_than_in_bf16_is_refused(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)
    form.weights_bytes = form.reference_bytes

    with pytest.raises(NotSmallerError, match="200 bytes"):
        MakeBuild(form, silent)(order(tiny_base, tmp_path))

    assert not form.measured


def test_int4_is_calibrated_on_training_rows_and_general_text_and_never_on_test_rows(
    tiny_base: Path, tmp_path: Path
) -> None:
    form, again = DecidedForm(right=20), DecidedForm(right=20)
    wanted = order(tiny_base, tmp_path, form="openvino-int4")
    MakeBuild(form, silent)(wanted)
    (tmp_path / "dataset" / "test.jsonl").write_text(json.dumps(make_rows(1, seed=9)[0]) + "\n")
    MakeBuild(again, silent)(replace(wanted, target=tmp_path / "again"))

    assert form.calibration is not None
    assert again.calibration == form.calibration, "it depends on test rows"
    assert form.calibration.training_rows == 20
    assert 0 < form.calibration.from_training < SAMPLES == len(form.calibration.samples)
    read = ChatTokenizer.load(tiny_base).decode(
        [token for sample in form.calibration.samples[:1] for token in sample]
    )
    first = make_rows(20, seed=TRAINING_SEED)[0]["messages"]
    assert isinstance(first, list)
    assert first[0]["content"] in read


def test_int4_without_a_dataset_is_calibrated_on_general_text_alone(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=20)

    wanted = order(tiny_base, tmp_path, form="openvino-int4", dataset=None)
    figures = MakeBuild(form, silent)(wanted).figures

    assert form.calibration is not None
    assert form.calibration.training_rows == form.calibration.from_training == 0
    assert len(form.calibration.samples) == SAMPLES
    assert len(set(form.calibration.samples)) == SAMPLES
    assert is_unscored(ModelReady(metrics=figures))


@pytest.mark.parametrize("lines", ["", "{}"])
def test_int4_of_a_dataset_without_training_rows_is_refused_before_the_build(
    tiny_base: Path, tmp_path: Path, lines: str
) -> None:
    form = DecidedForm(right=20)
    wanted = order(tiny_base, tmp_path, form="openvino-int4")
    (tmp_path / "dataset" / "train.jsonl").write_text(lines)

    with pytest.raises(InvalidInputError, match="no training rows to calibrate with"):
        MakeBuild(form, silent)(wanted)

    assert not form.prompts


def test_int8_reads_no_training_rows(tiny_base: Path, tmp_path: Path) -> None:
    form = DecidedForm(right=20)

    MakeBuild(form, silent)(order(tiny_base, tmp_path))

    assert form.calibration is None


def test_at_most_max_rows_are_scored(tiny_base: Path, tmp_path: Path) -> None:
    reports = []
    make = MakeBuild(DecidedForm(right=5), lambda *report: reports.append(report))

    figures = make(order(tiny_base, tmp_path, max_rows=5)).figures

    assert figures["test_rows"] == 5
    assert figures["accuracy"] == 1.0
    assert [r[1:] for r in reports if r[0] == "score"] == [(n, 10, "row") for n in range(1, 11)]


@pytest.mark.parametrize("missing", [{"dataset": None}, {"choices": ()}])
def test_without_choices_nothing_is_scored_and_default_prompts_are_used(
    tiny_base: Path, tmp_path: Path, missing: dict[str, Any]
) -> None:
    form = DecidedForm(right=0)

    figures = MakeBuild(form, silent)(order(tiny_base, tmp_path, **missing)).figures

    assert "accuracy" not in figures
    assert figures["speedup"] == 1.6
    assert len(form.prompts) > 1
    assert all(form.prompts)
    evaluation = json.loads((tmp_path / "build" / "evaluation.json").read_text())
    assert evaluation["rows"] == 0


def test_a_row_whose_answer_is_not_a_choice_is_a_dataset_error(
    tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="row 1"):
        MakeBuild(DecidedForm(right=0), silent)(order(tiny_base, tmp_path, choices=("mineral",)))


def test_an_adapters_own_tokenizer_is_used(
    tiny_base: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    assert Source(tiny_base, tiny_adapter).tokenizer == tiny_adapter
    assert Source(tiny_base, tmp_path).tokenizer == tiny_base
    assert Source(tiny_base, None).tokenizer == tiny_base


@pytest.mark.parametrize("name", ["template: power", "template: nested loops"])
def test_a_source_whose_template_loops_forever_is_refused_within_the_limit(
    name: str, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    HOSTILE[name](base)

    with pytest.raises(LimitError, match="CPU time"):
        MakeBuild(DecidedForm(right=20), silent)(order(base, tmp_path))
