"""A search: what it tries, when it ends, and what it says."""

import pytest
from modelmill_optimizer_builder.domain.cost_model import EarlierPoint
from modelmill_optimizer_builder.domain.search_report import SearchReport
from modelmill_optimizer_builder.order_candidates import next_form
from modelmill_optimizer_builder.search_forms import (
    MOST_REPEATS,
    BudgetTooShortError,
    SearchForms,
    SearchOrder,
    registered,
)

from .searches import SOURCE, WEIGHTS_BYTES, Known, TableWorkshop, order_of

FORMS = ("openvino-int8", "openvino-int4", "onnx-int8")
TABLE = {
    SOURCE: Known((1000,)),
    "openvino-int8": Known((400,), size_mb=50, loss=0.001),
    "openvino-int4": Known((300,), size_mb=34, loss=0.08),
    "onnx-int8": Known((350,), size_mb=57, loss=0.01),
}


async def searched(
    order: SearchOrder, table: dict[str, Known] = TABLE
) -> tuple[SearchReport, TableWorkshop]:
    workshop = TableWorkshop(table)
    return await SearchForms(workshop)(order), workshop


async def test_a_source_that_meets_the_objective_is_chosen_before_any_build() -> None:
    report, workshop = await searched(order_of("p95_ms", 1100, FORMS))

    assert (report.verdict.word, report.verdict.chosen.form) == ("met", SOURCE)
    assert workshop.tried == []
    assert set(report.untried) == set(FORMS)


async def test_a_search_ends_with_the_first_candidate_that_meets_the_objective() -> None:
    report, workshop = await searched(order_of("size_mb", 52, FORMS))

    assert (report.verdict.word, report.verdict.chosen.form) == ("met", "openvino-int8")
    assert workshop.tried[-1] == "openvino-int8"
    assert "onnx-int8" not in workshop.tried


async def test_of_forms_that_are_all_expected_to_be_enough_a_quickly_built_one_is_tried() -> None:
    forms = ("openvino-int4", "openvino-int8")

    report, workshop = await searched(order_of("p95_ms", 900, forms))

    assert workshop.tried == ["openvino-int8"]
    assert report.verdict.word == "met"


async def test_what_nothing_meets_is_not_met_and_the_nearest_is_named() -> None:
    report, workshop = await searched(order_of("p95_ms", 200, FORMS))

    assert (report.verdict.word, report.verdict.chosen.form) == ("not_met", "onnx-int8")
    assert set(workshop.tried) == set(FORMS)
    assert "the nearest is onnx-int8 with" in report.verdict.reason


async def test_a_candidate_that_cannot_be_built_leaves_the_others() -> None:
    table = TABLE | {"openvino-int8": Known((400,), refused="NOT_EXPORTABLE, no such layer")}

    report, _ = await searched(order_of("p95_ms", 360, FORMS), table)

    assert (report.verdict.word, report.verdict.chosen.form) == ("met", "onnx-int8")
    assert report.untried.get("openvino-int8", "the objective was met before") in (
        "NOT_EXPORTABLE, no such layer",
        "the objective was met before",
    )


async def test_an_open_interval_is_measured_again_and_stays_open_at_most_so_often() -> None:
    table = TABLE | {"openvino-int8": Known((400, 404))}  # whose 95th percentiles are 404 and 408

    report, workshop = await searched(order_of("p95_ms", 406, ("openvino-int8",)), table)

    assert workshop.repeats.count("openvino-int8") == MOST_REPEATS
    assert report.verdict.word == "not_met"
    assert "its interval holds the objective" in report.verdict.reason


async def test_contradictory_repeats_are_measured_again_before_they_are_reported() -> None:
    settled = TABLE | {"openvino-int8": Known((400, 800, 404))}
    torn = TABLE | {"openvino-int8": Known((300, 500, 800, 1300))}

    fine, workshop = await searched(order_of("p95_ms", 380, ("openvino-int8",)), settled)
    strange, _ = await searched(order_of("p95_ms", 600, ("openvino-int8",)), torn)

    assert workshop.repeats.count("openvino-int8") >= 3
    assert fine.points[1].contradictory == {}
    assert strange.verdict.word == "anomalous"
    assert "repeats gave" in strange.verdict.reason


async def test_a_budget_that_no_candidate_fits_is_refused_before_any_work() -> None:
    workshop = TableWorkshop(TABLE)

    with pytest.raises(BudgetTooShortError, match="expected to take 60 s"):
        await SearchForms(workshop)(order_of("p95_ms", 10, FORMS, budget_seconds=59))

    assert workshop.repeats == []


async def test_what_the_budget_leaves_no_time_for_is_named() -> None:
    report, workshop = await searched(order_of("p95_ms", 200, FORMS, budget_seconds=150))

    assert len(workshop.tried) == 1
    assert report.verdict.word == "not_met"
    assert sum("of the budget are left" in why for why in report.untried.values()) == 2


async def test_what_earlier_searches_rule_out_is_not_built() -> None:
    known = tuple(
        EarlierPoint(form, {"p95_ms": ratio}, 0.0, 50.0, 1, WEIGHTS_BYTES)
        for form, ratio in (("openvino-int8", 0.4), ("onnx-int8", 0.35))
        for _ in range(2)
    )

    report, workshop = await searched(order_of("p95_ms", 200, FORMS, earlier=known))

    assert workshop.tried == ["openvino-int4"]
    assert "earlier searches have p95_ms at 40" in report.untried["openvino-int8"]


async def test_only_points_that_no_other_one_beats_are_kept() -> None:
    order = order_of("p95_ms", 200, FORMS)

    report, workshop = await searched(order)

    kept = {point.form for point in registered(report.points, order)}
    assert kept == {SOURCE, "openvino-int8", "openvino-int4", "onnx-int8"}
    assert set(workshop.dropped) & kept == set()
    worse = TABLE | {"onnx-int8": Known((500,), loss=0.05)}
    report, workshop = await searched(order, worse)
    assert "onnx-int8" in workshop.dropped
    assert "onnx-int8" in {point.form for point in report.points}, "it is still in the table"


async def test_without_rows_to_score_nothing_loses_too_much() -> None:
    table = {form: Known(it.latencies_ms, it.size_mb, None) for form, it in TABLE.items()}

    report, _ = await searched(order_of("p95_ms", 310, FORMS), table)

    assert (report.verdict.word, report.verdict.chosen.form) == ("met", "openvino-int4")
    assert report.verdict.chosen.loss is None


def test_the_form_that_is_expected_to_be_best_is_tried_next() -> None:
    waiting = {"openvino-int8": 0.0, "openvino-int4": 3.0, "onnx-int8": 2.5, "onnx-int4": 4.0}

    assert next_form({SOURCE: 2.0}, waiting) == "openvino-int8"


def test_no_form_is_tried_twice_and_each_is_tried_once() -> None:
    measured = {SOURCE: 2.0}
    waiting = {"openvino-int8": 0.5, "openvino-int4": 0.4, "onnx-fp32": 9.0, "onnx-int8": 0.6}
    order = []
    while waiting:
        form = next_form(measured, waiting)
        measured[form] = waiting.pop(form)
        order.append(form)

    assert order == ["openvino-int4", "openvino-int8", "onnx-int8", "onnx-fp32"]
