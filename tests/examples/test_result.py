"""What was measured of an example is read from its run as it is, with the side on which it lies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from modelmill_recipes.run_recipe import RecipeResult

from tests.bench.examples import entries_of, is_measured
from tests.examples.example import EXAMPLES, Example
from tests.examples.result import figures_of, is_better, table_of, write_expected

BITS = Example(EXAMPLES / "continued-pretraining")
RUN = {"seconds": 90.0, "inputs": BITS.digest()}


def measured(model: float, other: float, width: float = 0.1) -> dict[str, Any]:
    """As an evaluation's summary says it of one measure."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value - width, "high": value + width, "rows": 80}

    return {
        "model": estimate(model),
        "compare_to": estimate(other),
        "comparison": {"difference": estimate(model - other), "won": 0.5, "lost": 0.5, "tied": 0.0},
    }


def result(model: float, other: float) -> RecipeResult:
    """A run whose model costs so many bits a byte, beside the other one."""
    of_each = {name: measured(model, other) for name in BITS.measures}
    return RecipeResult(evaluation={"suites": {"dataset": {"measures": of_each}}})


def test_the_figures_of_a_run_are_those_of_its_evaluation_in_the_order_of_the_recipe() -> None:
    figures = figures_of(BITS, result(0.8, 1.2))
    assert [each["name"] for each in figures] == BITS.measures == ["bits_per_byte", "perplexity"]
    first = figures[0]
    assert (first["value"], first["low"], first["high"], first["rows"]) == (0.8, 0.7, 0.9, 80)
    assert first["compared_to"]["model"] == "smollm2-135m-instruct"
    assert first["difference"]["value"] == -0.4


@pytest.mark.parametrize(("model", "is_good"), [(0.8, True), (1.15, False), (1.6, False)])
def test_fewer_bits_are_better_and_only_where_the_interval_excludes_0(
    model: float, is_good: bool
) -> None:
    first, *_ = figures_of(BITS, result(model, 1.2))
    assert is_better(first) is is_good
    assert is_better({**first, "name": "accuracy"}) is (model == 1.6)


def test_an_entry_stands_for_the_first_figure_and_for_those_without_another_model() -> None:
    figures = figures_of(BITS, result(0.8, 1.2))
    alone = {name: figures[0][name] for name in ("value", "low", "high", "rows", "how")}
    entries = entries_of(BITS, {"figures": [*figures, {"name": "caught", **alone}]})
    assert [each.id for each in entries] == [
        "examples.continued-pretraining.bits_per_byte",
        "examples.continued-pretraining.caught",
    ]
    assert entries[0].met is True
    assert entries[0].ratio == pytest.approx(0.8 / 1.2)
    assert entries[0].ci95 == pytest.approx((0.7 / 1.2, 0.9 / 1.2))


def test_what_was_measured_is_in_the_table_and_is_not_measured_again_until_something_changes(
    tmp_path: Path,
) -> None:
    copy = Example(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.markdown").write_text("# A\n\nText.\n")
    text = (BITS.folder / "recipe.yaml").read_text("utf-8")
    (tmp_path / "recipe.yaml").write_text(text, "utf-8")
    document = {
        "measured": RUN | {"inputs": copy.digest()},
        "figures": figures_of(BITS, result(0.8, 1.2)),
    }
    write_expected(copy, document)
    assert is_measured(copy)
    assert (
        "0.8 (0.7 to 0.9) | smollm2-135m-instruct: 1.2 (1.1 to 1.3) | -0.4 (-0.5 to -0.3) | 1.5 |"
        in (table_of([copy]))
    )

    (tmp_path / "documents" / "a.markdown").write_text("# A\n\nOther text.\n")
    assert not is_measured(replace(copy))
