"""What forms.* says of its cells, and that a cell is done once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from modelmill_optimizer_builder.domain.int4_methods import METHODS

from tests.bench.child_steps import run_steps
from tests.bench.figures import Unmeasured, all_of
from tests.bench.forms_cells import (
    COMPETED,
    METHODS_MEASURED,
    SERVED,
    cells,
    served_with,
)
from tests.bench.forms_figures import entries, refusals
from tests.bench.kept_cells import chosen_cells
from tests.bench.kept_entries import keep_entries
from tests.bench.worker import WorkerFailedError


def built(**changes: float) -> dict[str, Any]:
    """What a cell of a build keeps."""
    figures = {
        "bytes": 90e6,
        "size_ratio": 0.334,
        "test_rows": 1500.0,
        "accuracy": 0.79,
        "accuracy_source": 0.80,
        **_interval("accuracy_loss", 0.01, 0.0, 0.019),
        **_interval("label_log_likelihood_loss", 0.1, 0.05, 0.15),
        "label_log_likelihood": -0.7,
        "label_log_likelihood_bf16": -0.6,
        **_interval("general_perplexity_loss", 0.04, 0.03, 0.05),
        "general_perplexity": 15.0,
        "general_perplexity_bf16": 14.4,
    }
    return {"figures": figures | changes, "method": {}, "seconds": 120.0}


def _interval(name: str, mean: float, low: float, high: float) -> dict[str, float]:
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def by_id(results: dict[str, Any]) -> dict[str, Any]:
    return {entry.id: entry for entry in entries(results)}


def test_the_goals_are_those_of_what_the_product_chooses() -> None:
    found = by_id({f"tuned.{COMPETED}": built(), f"base.{COMPETED}": built()})

    assert found[f"forms.bytes.{COMPETED}"].met
    assert found[f"forms.score.{COMPETED}"].met
    assert found[f"forms.general.{COMPETED}"].met
    assert found[f"forms.labels.{COMPETED}"].met is None


@pytest.mark.parametrize(
    ("entry", "change"),
    [
        ("bytes", {"size_ratio": 0.368}),
        ("score", {"accuracy_loss_high": 0.021}),
        ("general", {"general_perplexity_loss": 0.12}),
    ],
)
def test_a_missed_goal_is_said(entry: str, change: dict[str, float]) -> None:
    cell = built(**change)
    found = by_id({f"tuned.{COMPETED}": cell, f"base.{COMPETED}": cell})

    assert found[f"forms.{entry}.{COMPETED}"].met is False


def test_speed_is_beside_bf16_in_the_same_rounds_and_int4_beside_int8() -> None:
    rates = {
        "openvino.bf16": [50.0, 100.0, 50.0],
        "openvino.openvino-int8": [100.0, 200.0, 100.0],
        f"openvino.{COMPETED}": [130.0, 260.0, 130.0],
    }
    memory = {name: [2e8, 1e8] for name in rates}
    found = by_id({"served.1": {"rates": rates, "memory": memory}})

    assert found[f"forms.speed.openvino.{COMPETED}.1"].ratio == pytest.approx(2.6)
    assert found["forms.int4_over_int8.1"].ratio == pytest.approx(1.3)
    assert found["forms.int4_over_int8.1"].met
    assert found["forms.memory.openvino.bf16"].value == 200


def test_a_rival_that_refused_is_no_entry_but_is_said() -> None:
    results = {
        f"tuned.{COMPETED}": built(),
        "rival.olive": {"what": "olive", "refused": "olive: cannot"},
        "rival.optimum": {
            "what": "optimum-cli",
            "bytes": 100e6,
            "accuracy": 0.7,
            "label_log_likelihood": -1.0,
            "rows": 1500,
            "seconds": 60.0,
        },
    }
    found = by_id(results)

    assert found["forms.rival.optimum.bytes"].ratio == pytest.approx(0.9)
    assert found["forms.rival.optimum.score"].value == pytest.approx(79)
    assert not [name for name in found if "olive" in name]
    assert refusals(results) == {"forms.rival.olive": "olive: cannot"}


def test_a_form_that_the_product_refuses_of_a_model_is_no_entry_but_is_said() -> None:
    results = {
        f"tuned.{COMPETED}": {"refused": "its logits differ", "seconds": 1.0},
        f"base.{COMPETED}": built(),
    }

    assert list(by_id(results)) == [f"forms.general.{COMPETED}"]
    assert refusals(results) == {f"forms.tuned.{COMPETED}": "its logits differ"}


def test_what_was_not_measured_is_kept_until_the_same_bench_says_otherwise(
    tmp_path: Path,
) -> None:
    file, refused = tmp_path / "forms.json", Unmeasured("forms.rival.olive", "olive: cannot", True)
    keep_entries([], file, [refused])
    keep_entries([all_of("edge.answers", 1, 1, "answers", least=1, note="")], file)
    kept = json.loads(file.read_text())

    assert [one["id"] for one in kept["entries"]] == ["edge.answers"]
    assert [one["reason"] for one in kept["not_measured"]] == ["olive: cannot"]

    keep_entries([], file, [])
    assert "not_measured" not in json.loads(file.read_text())


def test_each_cell_has_a_name_of_its_own_and_measured_methods_exist() -> None:
    names = [cell.name for cell in cells()]

    assert len(set(names)) == len(names)
    assert len({served.id for served in SERVED}) == len(SERVED)
    assert set(METHODS_MEASURED) <= {method.name for method in METHODS}


def test_a_process_tells_its_steps_and_a_failed_one_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "step.py"
    step = json.dumps({"phase": "score", "done": 1, "total": 2})
    script.write_text(f"import sys\nprint({step!r})\nsys.exit('it is broken')\n")
    told: list[tuple[str, int, int]] = []

    def tell(phase: str, done: int, total: int) -> None:
        told.append((phase, done, total))

    with pytest.raises(WorkerFailedError, match="it is broken"):
        asyncio.run(run_steps(str(script), (), tell, ("python3",)))

    assert told == [("score", 1, 2)]


def test_a_name_of_a_cell_chooses_it_alone_and_the_beginning_of_names_all() -> None:
    def names(*given: str) -> list[str]:
        return [cell.name for cell in chosen_cells(cells(), given, always="model")]

    assert names(f"tuned.{COMPETED}") == ["model", f"tuned.{COMPETED}"]
    assert len(names(f"tuned.{COMPETED}.")) == 1 + len(METHODS_MEASURED)
    assert names("") == [cell.name for cell in cells()]
    with pytest.raises(SystemExit, match=r"no cell tuned\.opnvino; there are model, "):
        names("tuned.opnvino")


def test_methods_take_turns_with_one_request_and_the_chosen_forms_with_many() -> None:
    assert served_with(1) == list(SERVED)
    assert {each.name for each in served_with(8)} < {each.name for each in SERVED}
    assert COMPETED in {each.name for each in served_with(32)}
