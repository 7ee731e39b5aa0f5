"""What is said of a judge follows from what it said of each row."""

import importlib.util
import math
import sys
from pathlib import Path
from statistics import NormalDist
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).parents[2] / "examples" / "safety-classifier" / "judge_figures.py"
CATEGORIES = {"safe": None, "cyber": "illicit", "crime": "illicit", "hate": "hate"}
LABELS = list(CATEGORIES)
NORMAL_95 = NormalDist().inv_cdf(0.975)


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[FILE.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


of = loaded()
LIKELIHOODS = st.lists(st.floats(-50, 0), min_size=len(LABELS), max_size=len(LABELS))
ROWS = st.lists(st.tuples(st.sampled_from(LABELS), LIKELIHOODS), min_size=1, max_size=30)


@given(st.lists(st.booleans(), min_size=1, max_size=400))
def test_a_rate_lies_within_its_interval_which_has_a_width(outcomes: list[bool]) -> None:
    found = of.rate(outcomes)
    assert 0 <= found["low"] <= found["value"] + 1e-9
    assert found["value"] <= found["high"] + 1e-9 <= 1 + 1e-9
    assert found["low"] < found["high"]


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_ends_of_an_interval_are_the_rates_that_a_normal_test_just_allows(
    hits: int, rows: int
) -> None:
    hits = min(hits, rows)
    found = of.rate([True] * hits + [False] * (rows - hits))
    for end in (found["low"], found["high"]):
        # Wilson's definition: so many standard deviations of that rate lie between it and what
        # was seen; where all rows agree one end is the rate itself.
        allowed = NORMAL_95 * math.sqrt(end * (1 - end) / rows)
        assert abs(end - hits / rows) == pytest.approx(allowed, abs=1e-6)


@given(LIKELIHOODS)
def test_all_harm_counts_together_and_what_is_safe_does_not(
    likelihoods: list[float],
) -> None:
    shares = of.shares_of(LABELS, likelihoods)
    score = of.Judged("any", "safe", shares).score(CATEGORIES)
    assert sum(shares.values()) == pytest.approx(1)
    assert score == pytest.approx(1 - shares["safe"])


@given(ROWS)
def test_a_higher_threshold_catches_no_more_and_alarms_no_more(
    rows: list[tuple[str, list[float]]],
) -> None:
    judged = [of.Judged("any", label, of.shares_of(LABELS, values)) for label, values in rows]
    curve = of.figures(judged, CATEGORIES, 0.5)["by_threshold"]
    for name in ("caught", "false_alarms"):
        hits = [point[name].get("hits", 0) for point in curve]
        assert hits == sorted(hits, reverse=True)


def test_each_row_counts_for_its_label_and_its_group() -> None:
    sure = {"safe": [0.0, -9, -9, -9], "crime": [-9, -9, 0.0, -9]}
    judged = [
        of.Judged("kind", "safe", of.shares_of(LABELS, sure["safe"])),
        of.Judged("kind", "safe", of.shares_of(LABELS, sure["crime"])),
        of.Judged("bad", "crime", of.shares_of(LABELS, sure["crime"])),
        of.Judged("bad", "cyber", of.shares_of(LABELS, sure["crime"])),
        of.Judged("bad", "hate", of.shares_of(LABELS, sure["safe"])),
    ]
    found = of.figures(judged, CATEGORIES, 0.5)
    assert (found["caught"]["hits"], found["caught"]["rows"]) == (2, 3)
    assert (found["false_alarms"]["hits"], found["false_alarms"]["rows"]) == (1, 2)
    assert found["flagged_by_group"]["kind"]["hits"] == 1
    assert found["caught_by_label"]["cyber"]["hits"] == 1  # as illicit, under another name
    assert found["right_by_label"]["cyber"]["hits"] == 0
    assert found["right_label"]["hits"] == 2
    assert found["right_side"]["hits"] == 3
