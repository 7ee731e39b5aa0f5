"""Rules of objectives: when they are met, what arithmetic rules out, what contradicts itself."""

import math
from xml.etree import ElementTree

import pytest
from modelmill_optimizer_builder.domain.bounds import WeightCounts, infeasible
from modelmill_optimizer_builder.domain.candidates import refused_forms, served_forms
from modelmill_optimizer_builder.domain.cost import cost_per_1k_requests
from modelmill_optimizer_builder.domain.cost_model import CostModel, EarlierPoint
from modelmill_optimizer_builder.domain.measurements import (
    LoadRepeat,
    Round,
    contradictions,
    figures_of,
)
from modelmill_optimizer_builder.domain.objectives import (
    Figure,
    Load,
    MeasuredObjective,
    objective_errors,
)
from modelmill_optimizer_builder.domain.pareto import SOURCE, Point, pareto_front
from modelmill_optimizer_builder.domain.search_report import SearchReport
from modelmill_optimizer_builder.domain.verdicts import decide
from modelmill_service_kit.machine_size import MachineSize

from .searches import LOAD, point_of, repeat_of

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64}
MACHINE = MachineSize(cpus=2, memory_bytes=64 * 2**30)


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [(Figure(9, 8, 10), True), (Figure(10, 9, 11), None), (Figure(12, 11, 13), False)],
)
def test_an_objective_is_met_by_a_whole_interval(figure: Figure, is_met: bool | None) -> None:
    assert MeasuredObjective("p95_ms", 10).is_met_by(figure) is is_met


def test_more_tokens_per_second_are_better_and_less_of_anything_else() -> None:
    assert MeasuredObjective("tokens_per_s", 10).is_met_by(Figure(12, 11, 13)) is True
    assert MeasuredObjective("tokens_per_s", 10).is_met_by(Figure(9, 8, 9.5)) is False
    assert MeasuredObjective("tokens_per_s", 10).distance(8) == pytest.approx(0.2)
    assert MeasuredObjective("p95_ms", 10).distance(12) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (None, 0, "Give one of p95_ms, first_token_ms"),
        ("p95_ms", 0, "above 0"),
        ("p95_ms", math.inf, "above 0"),
        ("cost_per_1k_requests", 1, "OPTIMIZER_BUILDER_MACHINE_PRICE_PER_HOUR"),
    ],
)
def test_an_objective_that_means_nothing_is_refused_with_a_remedy(
    name: str | None, value: float, said: str
) -> None:
    [error] = objective_errors(name, value, has_price=False)

    assert said in error


def test_no_form_has_fewer_bits_than_four_a_weight() -> None:
    weights = WeightCounts(parameters=100 * 10**6, read_by_step=100 * 10**6)

    assert "50 MB" in infeasible(MeasuredObjective("size_mb", 49.9), Load(), weights)
    assert "50 MB" in infeasible(MeasuredObjective("memory_mb", 49.9), Load(), weights)
    assert infeasible(MeasuredObjective("size_mb", 50), Load(), weights) == ""


def test_no_step_is_quicker_than_its_weights_are_read() -> None:
    weights = WeightCounts(parameters=2 * 10**9, read_by_step=2 * 10**9)  # a step in 1 ms
    load = Load(output_tokens=100, in_flight=4)

    assert "100 ms" in infeasible(MeasuredObjective("p95_ms", 99), load, weights)
    assert infeasible(MeasuredObjective("p95_ms", 101), load, weights) == ""
    assert infeasible(MeasuredObjective("tokens_per_s", 4001), load, weights)
    assert infeasible(MeasuredObjective("tokens_per_s", 3999), load, weights) == ""
    assert infeasible(MeasuredObjective("cost_per_1k_requests", 0.001), load, weights, 3.6)
    unknown = WeightCounts(parameters=2 * 10**9, read_by_step=0)
    assert infeasible(MeasuredObjective("p95_ms", 0.001), load, unknown) == ""


def test_figures_follow_from_rounds_of_all_repeats() -> None:
    load = Load(output_tokens=10, in_flight=2)
    rounds = tuple(Round(2.0, (1000.0, 2000.0), (100.0, 300.0)) for _ in range(4))

    figures = figures_of(
        [LoadRepeat(rounds, (), 50.0), LoadRepeat(rounds, (), 60.0)],
        load,
        size_mb=7,
        price_per_hour=3.6,
    )

    assert figures["p95_ms"].value == 2000
    assert figures["first_token_ms"].value == 200
    assert figures["tokens_per_s"].value == pytest.approx(10)
    assert figures["memory_mb"] == Figure(55, 50, 60)
    assert figures["size_mb"] == Figure.exact(7)
    assert figures["cost_per_1k_requests"].value == pytest.approx(1.0)
    assert "cost_per_1k_requests" not in figures_of(
        [LoadRepeat(rounds, (), 50.0)], load, size_mb=7, price_per_hour=None
    )


def test_an_interval_holds_the_value_of_every_repeat() -> None:
    figures = figures_of([repeat_of(100), repeat_of(105)], LOAD, size_mb=1, price_per_hour=None)

    assert figures["first_token_ms"].low <= 10 < 10.5 <= figures["first_token_ms"].high


def test_the_interval_of_a_latency_holds_that_of_a_request_alone_which_is_longer() -> None:
    rounds = repeat_of(100).rounds

    slow = figures_of([LoadRepeat(rounds, (150.0,), 50.0)], LOAD, size_mb=1, price_per_hour=None)
    quick = figures_of([LoadRepeat(rounds, (50.0,), 50.0)], LOAD, size_mb=1, price_per_hour=None)

    assert slow["p95_ms"].high == 150
    assert quick["p95_ms"].low >= 100


def test_a_thousand_requests_cost_what_the_machine_costs_meanwhile() -> None:
    assert cost_per_1k_requests(3.6, requests_per_second=10) == pytest.approx(0.1)


def test_repeats_that_lie_apart_contradict_each_other_until_two_agree() -> None:
    apart = [repeat_of(100), repeat_of(200)]

    found = contradictions(apart, LOAD)
    assert set(found) == {"p95_ms", "first_token_ms", "tokens_per_s", "cost_per_1k_requests"}
    assert found["first_token_ms"] == "repeats gave 10, 20, beyond their intervals"
    assert contradictions([*apart, repeat_of(199)], LOAD) == {}
    assert contradictions([*apart, repeat_of(400)], LOAD)
    assert contradictions([repeat_of(100), repeat_of(105)], LOAD) == {}, "as busy machines differ"


def test_a_request_that_is_slower_alone_than_beside_others_contradicts_them() -> None:
    rounds = repeat_of(100).rounds
    load = Load(output_tokens=10, in_flight=4)

    found = contradictions([LoadRepeat(rounds, (150.0, 151.0), 50.0)] * 2, load)

    assert "alone took" in found["p95_ms"]
    assert contradictions([LoadRepeat(rounds, (60.0, 61.0), 50.0)] * 2, load) == {}


def test_the_front_is_what_no_other_point_beats_in_figure_and_quality() -> None:
    points = [
        point_of(SOURCE, size_mb=100),
        point_of("openvino-int8", size_mb=50, loss=0.01),
        point_of("onnx-int8", size_mb=60, loss=0.02),
        point_of("openvino-int4", size_mb=30, loss=0.1),
    ]

    front = pareto_front(points, MeasuredObjective("size_mb", 10))

    assert [point.form for point in front] == [SOURCE, "openvino-int8", "openvino-int4"]


def test_a_gain_beside_the_source_is_no_better_than_no_loss() -> None:
    points = [point_of("onnx-int8", size_mb=60, loss=-0.01), point_of("openvino-int8", size_mb=50)]

    assert pareto_front(points, MeasuredObjective("size_mb", 10)) == [points[1]]


def test_the_chosen_point_is_the_best_of_those_that_meet_the_objective() -> None:
    points = [
        point_of(SOURCE, size_mb=100),
        point_of("openvino-int4", size_mb=30, loss=0.015),
        point_of("openvino-int8", size_mb=50, loss=0.001),
    ]

    verdict = decide(points, MeasuredObjective("size_mb", 60), 0.02, {})

    assert (verdict.word, verdict.chosen.form) == ("met", "openvino-int8")


def test_a_point_that_loses_too_much_meets_nothing_and_is_named() -> None:
    points = [point_of(SOURCE, size_mb=100), point_of("openvino-int4", size_mb=30, loss=0.1)]

    verdict = decide(points, MeasuredObjective("size_mb", 60), 0.02, {"onnx-int4": "no time"})

    assert (verdict.word, verdict.chosen.form) == ("not_met", SOURCE)
    assert "openvino-int4 would, but loses more than the 2.0% allowed" in verdict.reason
    assert "onnx-int4 was not tried: no time" in verdict.reason


def test_a_contradiction_that_decides_is_anomalous_and_one_that_does_not_is_none() -> None:
    doubtful = {"size_mb": "repeats gave 30, 90"}
    source = point_of(SOURCE, size_mb=100)
    near = Point("openvino-int4", {"size_mb": Figure(60, 30, 90)}, None, contradictory=doubtful)
    far = Point("onnx-fp32", {"size_mb": Figure(600, 300, 900)}, None, contradictory=doubtful)
    objective = MeasuredObjective("size_mb", 50)

    verdict = decide([source, near], objective, 0.02, {})

    assert (verdict.word, verdict.chosen.form) == ("anomalous", "openvino-int4")
    assert "repeats gave 30, 90" in verdict.reason
    assert decide([source, far], objective, 0.02, {}).word == "not_met"
    met = point_of("openvino-int8", size_mb=40)
    assert decide([source, near, met], objective, 0.02, {}).word == "met"
    assert decide([source, near], MeasuredObjective("size_mb", 90), 0.02, {}).word == "met"


def test_candidates_are_forms_that_a_service_here_runs_of_that_model_on_that_machine() -> None:
    names = [form.name for form in served_forms()]
    mixture = LLAMA | {"num_local_experts": 8}

    assert names == ["openvino-int8", "openvino-int4", "onnx-fp32", "onnx-int8", "onnx-int4"]
    assert refused_forms(LLAMA, 10**6, MACHINE) == {}
    assert set(refused_forms(mixture, 10**6, MACHINE)) == set(names) - {"openvino-int8"}
    needy = refused_forms(LLAMA, 12 * 2**30, MACHINE)
    assert "openvino-int8" not in needy
    assert "73.5 GiB" in needy["openvino-int4"]


def earlier(form: str, ratio: float, *, in_flight: int = 1, loss: float = 0.0) -> EarlierPoint:
    return EarlierPoint(form, {"p95_ms": ratio}, loss, 50.0, in_flight, 10**8)


def test_what_earlier_searches_found_is_expected_as_a_share_of_the_source() -> None:
    source = Point(SOURCE, {"p95_ms": Figure(1000, 990, 1010)})
    known = [earlier("openvino-int8", ratio) for ratio in (0.29, 0.30, 0.31)]
    model = CostModel([*known, earlier("onnx-int8", 0.5)], source, 10**8, LOAD)

    expected = model.expected("openvino-int8").figures["p95_ms"]

    assert expected == Figure(300, 200, 450)
    assert model.ruled_out("openvino-int8", MeasuredObjective("p95_ms", 199))
    assert model.ruled_out("openvino-int8", MeasuredObjective("p95_ms", 201)) == ""
    assert model.ruled_out("onnx-int8", MeasuredObjective("p95_ms", 1)) == "", (
        "one measurement is too few"
    )
    assert model.ruled_out("onnx-int4", MeasuredObjective("p95_ms", 1)) == "", (
        "nothing is known of it"
    )


def test_other_loads_teach_only_where_nothing_else_does() -> None:
    source = Point(SOURCE, {"p95_ms": Figure(1000, 990, 1010)})
    known = [earlier("openvino-int8", 0.3), earlier("openvino-int8", 0.9, in_flight=8)]

    alone = CostModel(known, source, 10**8, Load(in_flight=1)).expected("openvino-int8")
    many = CostModel(known, source, 10**8, Load(in_flight=4)).expected("openvino-int8")

    assert alone.figures["p95_ms"].value == pytest.approx(300)
    assert many.figures["p95_ms"].value == pytest.approx(900)


def report_of(points: tuple[Point, ...], objective: MeasuredObjective) -> SearchReport:
    verdict = decide(points, objective, 0.02, {})
    untried = {"onnx-fp32": "its build needs <much>"}
    return SearchReport(objective, LOAD, 0.02, points, untried, verdict, 10**8, 3.6, 12.0)


def test_a_report_says_the_same_as_table_as_picture_and_as_numbers() -> None:
    cost = {"cost_per_1k_requests": Figure.exact(2.0)}
    source = Point(SOURCE, {"p95_ms": Figure(100, 90, 110)} | cost, Figure(0, 0, 0))
    cheaper = {"cost_per_1k_requests": Figure.exact(1.18)}
    built = Point("openvino-int8", {"p95_ms": Figure(40, 35, 45)} | cheaper, Figure(0.01, 0, 0.02))
    report = report_of((source, built), MeasuredObjective("p95_ms", 50))

    found = report.as_json()

    assert (found["verdict"], found["chosen"]) == ("met", "openvino-int8")
    assert [point["on_front"] for point in found["points"]] == [True, True]
    assert found["cost"]["change"] == pytest.approx(-0.41)
    assert "-41%" in report.markdown()
    assert "| **openvino-int8** | 1 (0 to 2) | 40 (35 to 45) |" in report.markdown()
    picture = ElementTree.fromstring(report.svg())
    assert [it.text for it in picture.iter() if it.text in (SOURCE, "openvino-int8")]
    assert "http" not in report.svg().replace("http://www.w3.org/2000/svg", "")


def test_a_later_search_learns_from_a_report() -> None:
    source = Point(SOURCE, {"p95_ms": Figure(100, 90, 110)})
    built = Point("openvino-int8", {"p95_ms": Figure(40, 35, 45)}, Figure(0.01, 0, 0.02), seconds=9)
    doubtful = Point("onnx-int8", {"p95_ms": Figure(40, 35, 45)}, contradictory={"p95_ms": "no"})
    report = report_of((source, built, doubtful), MeasuredObjective("p95_ms", 50)).as_json()

    assert EarlierPoint.of_report(report) == [
        EarlierPoint("openvino-int8", {"p95_ms": 0.4}, 0.01, 9, 1, 10**8)
    ]
