"""The drawing of a run: every spike is in it, and nothing that a browser would run or fetch."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_trainer.run_report import MAX_POINTS, WIDTH, curves_of, draw_curves

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def steps_of(losses: list[float], rate: float = 1e-4) -> list[dict[str, float]]:
    return [
        {"step": place, "loss": loss, "learning_rate": rate}
        for place, loss in enumerate(losses, start=1)
    ]


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The points of each line drawn."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    return [
        [
            (float(x), float(y))
            for x, y in (pair.split(",") for pair in line.get("points", "").split())
        ]
        for line in found
    ]


def test_the_curve_of_a_falling_loss_falls_over_the_whole_width() -> None:
    loss, rate = lines(draw_curves(steps_of([4.0, 3.0, 2.0, 1.0])))

    heights = [y for _, y in loss]
    assert heights == sorted(heights)  # y grows downwards
    assert loss[-1][0] - loss[0][0] > WIDTH * 0.8
    assert len({y for _, y in rate}) == 1


def test_a_spike_in_a_long_run_is_drawn() -> None:
    losses = [1.0] * 50_000
    losses[31_337] = 9.0

    raw, smooth, _ = lines(draw_curves(steps_of(losses)))

    assert len(raw) <= MAX_POINTS
    assert sum(y < min(y for _, y in smooth) for _, y in raw) == 1


@given(losses=st.lists(NUMBERS, max_size=60))
def test_any_metrics_give_a_valid_svg_inside_its_frame(
    losses: list[float],
) -> None:
    svg = draw_curves(steps_of(losses))

    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for line in lines(svg):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in line)
    assert "nan" not in svg
    assert "inf" not in svg


def test_the_svg_has_no_script_and_no_external_resource() -> None:
    svg = draw_curves(steps_of([2.0, 1.0]))

    for word in ("<script", "href", "url(", "@import", "<image", " on"):
        assert word not in svg.replace(" on optimizer", "")
    assert svg.count("http") == 1, "the namespace alone"


def test_a_run_without_steps_says_so() -> None:
    assert "no step was measured" in draw_curves([])
    assert "no step was measured" in draw_curves([{"step": 1, "loss": math.nan}])


def test_curves_are_drawn_from_the_artifacts_metrics(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(step) + "\n" for step in steps_of([3.0, 2.0, 1.0])))

    assert curves_of(file) == draw_curves(steps_of([3.0, 2.0, 1.0]))


@pytest.mark.parametrize("value", [0.0, 1e-30, -5.0, 1e30])
def test_a_constant_has_a_line_of_its_own(value: float) -> None:
    loss, _ = lines(draw_curves(steps_of([value, value])))

    assert loss[0][1] == loss[1][1]
