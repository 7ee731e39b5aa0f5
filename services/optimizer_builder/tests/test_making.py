"""`MakeBuild` with a target form whose answers the test decides."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_optimizer_builder.domain.quality import QualityLossError
from modelmill_optimizer_builder.make_build import BuildOrder, MakeBuild, Report, Side, Source
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.hostile_models import HOSTILE
from modelmill_tokenization.bounded import LimitError

from .builders import CHOICES, make_rows

pytestmark = pytest.mark.tier("test")


class DecidedForm:
    """A form whose reference is always correct, and whose build is correct on the first rows."""

    names: Mapping[Side, str] = {"reference": "bf16", "built": "int8"}
    reference_bytes = 200
    built_bytes = 100
    context_tokens = 512
    parity: Mapping[str, Any] = {"goldens": 5}
    parity_figures: Mapping[str, float] = {"parity_greedy_agreement": 0.9}

    def __init__(self, right: int) -> None:
        self._right = right
        self.measured = False
        self.prompts: Sequence[Sequence[int]] = ()

    def make(
        self,
        source: Source,
        prompts: Sequence[Sequence[int]],
        scratch: Path,
        target: Path,
        report: Report,
    ) -> "DecidedForm":
        target.mkdir(parents=True)
        self.prompts = prompts
        return self

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        for number, question in enumerate(questions):
            right = side == "reference" or number < self._right
            yield [float(right == (i == question.answer)) for i in range(len(question.choices))]

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        self.measured = True
        return {"reference": [50.0, 40.0, 60.0], "built": [80.0, 100.0, 75.0]}


def order(base: Path, root: Path, **changes: Any) -> BuildOrder:
    dataset = root / "dataset"
    dataset.mkdir()
    lines = [json.dumps(row) for row in make_rows(20)]
    (dataset / "test.jsonl").write_text("\n".join(lines) + "\n")
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


def test_a_refused_build_is_not_measured_and_leaves_no_evaluation(
    tiny_base: Path, tmp_path: Path
) -> None:
    form = DecidedForm(right=17)

    with pytest.raises(QualityLossError, match=r"85\.0%.*100\.0%"):
        MakeBuild(form, silent)(order(tiny_base, tmp_path))

    assert not form.measured
    assert not (tmp_path / "build" / "evaluation.json").exists()


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
