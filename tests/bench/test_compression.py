"""What compression.* says of its cells."""

from typing import Any

from tests.bench.compression_cells import SHAPES, STUDENTS, cells
from tests.bench.compression_figures import entries


def _interval(name: str, mean: float, low: float, high: float) -> dict[str, float]:
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def pruned() -> dict[str, Any]:
    """What a cell of a pruning keeps."""
    figures = {
        "bytes": 186e6,
        "size_ratio": 0.69,
        "accuracy": 0.4,
        "accuracy_source": 0.8,
        **_interval("accuracy_loss", 0.4, 0.37, 0.43),
        "general_perplexity": 90.0,
        **_interval("general_perplexity_loss", 5.0, 4.5, 5.5),
        "parity_largest_logit_share": 1e-6,
    }
    parts = {"layers": 30, "heads": 9, "mlp": 1536}
    method = {"parameters": 93e6, "parameters_before": 134.5e6, "kept": parts, "of": parts}
    return {"figures": figures, "method": method, "seconds": 120.0}


def taught(low: float, high: float) -> dict[str, Any]:
    """What a cell of a training keeps.

    Args:
        low: End of the interval of its score minus the whole model's.
        high: The other end.
    """
    summary = {
        **{"accuracy_tuned": {"mean": 0.78}, "accuracy_teacher": {"mean": 0.8}},
        **{"train_seconds": 600.0, "tokens_per_second": 500.0, "peak_memory_bytes": 3e9},
        **{"steps": 188, "train_tokens": 300_000, "first_loss": 2.0, "last_loss": 0.4},
    }
    middle = (low + high) / 2
    left = {"mean": middle, "low": low, "high": high}
    gain = {"mean": 0.3, "low": 0.27, "high": 0.33}
    return {"summary": summary, "differences": {"tuned-teacher": left, "tuned-base": gain}}


def by_id(results: dict[str, Any]) -> dict[str, Any]:
    return {entry.id: entry for entry in entries(results)}


def test_a_goal_looks_at_the_upper_bound_of_what_is_lost_after_training() -> None:
    found = by_id({"pruned.width": pruned(), "recovered.width": taught(-0.049, 0.0)})
    lost = by_id({"recovered.width": taught(-0.051, 0.0)})

    assert found["compression.score.width.before"].met is None
    assert found["compression.score.width.after"].met
    assert not lost["compression.score.width.after"].met
    assert "lost -0.00 to 5.10 points" in lost["compression.score.width.after"].note


def test_trainings_that_differ_from_the_defaults_have_no_goal() -> None:
    found = by_id({"recovered.width.lora": taught(-0.2, -0.1)})

    assert found["compression.score.width.lora.after"].met is None


def test_each_cell_has_a_name_of_its_own_and_each_student_a_shape_that_is_cut() -> None:
    names = [cell.name for cell in cells()]

    assert len(set(names)) == len(names)
    assert {student.shape for student in STUDENTS} <= {"", *(shape.name for shape in SHAPES)}


def test_speed_and_memory_are_those_of_the_whole_models_build_in_the_same_rounds() -> None:
    rates = {"whole": [100.0, 110.0], "width": [130.0, 143.0]}
    memory = {"whole": [400e6, 300e6], "width": [300e6, 200e6]}
    found = by_id({"served.1": {"rates": rates, "memory": memory}})

    assert abs(found["compression.speed.width.1"].ratio - 1.3) < 1e-9
    assert found["compression.memory.width"].ratio == 0.75


def test_answers_that_leave_early_are_held_to_the_model_as_it_was() -> None:
    right, wrong = [True] * 90 + [False] * 10, [True] * 60 + [False] * 40
    found = by_id(
        {
            "exits": {
                "layers": [10, 30],
                "untrained": [[False] * 100, right],
                "trained": [wrong, right],
                "confidence": 0.9,
                "left": [10] * 60 + [30] * 40,
                "same": 2,
                "train_seconds": 60.0,
                "seconds": {"adaptive": [1.0, 1.0, 1.0], "whole": [2.0, 2.0, 2.0]},
            }
        }
    )

    lost = found["compression.exit.10"]
    assert round(lost.value) == 30
    assert "0.0 % before it learned to" in lost.note
    assert found["compression.exit.whole"].value == 0
    assert found["compression.exit.adaptive"].value == 0
    assert "60 % at 10, 40 % at 30" in found["compression.exit.adaptive"].note
    assert found["compression.exit.speed"].ratio == 2
    assert "18.0 of 30 layers" in found["compression.exit.speed"].note
