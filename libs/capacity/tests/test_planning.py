"""A plan keeps its aim with the fewest replicas, and says what it rests on."""

import math
from dataclasses import replace

import pytest
from capacity_support.textbook import engine_times
from modelmill_capacity.measurements import BatchStep, LoadBand, Measurements, ServiceTimes
from modelmill_capacity.offered_load import RequestLengths
from modelmill_capacity.planning import (
    CapacityAim,
    InfeasibleError,
    capacity_of,
    idle_seconds,
    plan,
)
from modelmill_capacity.simulation import Installation, Station, p95, simulate

WORK = RequestLengths(prompt_tokens=10, output_tokens=50)
GATEWAY = ServiceTimes(
    name="gateway", origin="measured", source="", request_seconds=0.002, token_seconds=0.0001
)
NEAR = LoadBand(
    load=0.8,
    throughput_error=0.01,
    first_token_error=-0.1,
    p95_error=0.1,
    p95_lies_in_band=True,
    refused=0,
    predicted_refused=0,
)
GROWING = (BatchStep(batch=1, seconds=0.010), BatchStep(batch=8, seconds=0.024))
"""Full engines answer much later than idle ones, so that the p95 binds before the capacity."""


def measured(**changes: object) -> Measurements:
    engine = engine_times(8, prompt_token_seconds=0.0001, **changes)
    return Measurements(services=(GATEWAY,), engines=(engine,))


@pytest.mark.parametrize(("rate", "aim"), [(20.0, 1.2), (20.0, 1.4), (60.0, 1.4)])
def test_the_aim_is_kept_and_with_one_replica_less_it_is_not(rate: float, aim: float):
    known = measured(steps=GROWING)
    engine = known.engine(None)
    found = plan(CapacityAim(rate, aim, WORK), known)
    (gateway, inference) = found.services

    assert found.p95_seconds <= aim
    assert inference.replicas > math.ceil(rate / capacity_of(engine, WORK) / 0.95)
    assert inference.replicas <= 16
    fewer = Installation(engine, inference.replicas - 1, [Station(GATEWAY, gateway.replicas)])
    run = simulate(fewer, WORK, rate, seconds=6000 / rate, seed=1)
    assert p95(run.latencies(1000 / rate)) > aim
    assert inference.utilisation == pytest.approx(
        rate / inference.replicas / capacity_of(engine, WORK)
    )
    assert gateway.utilisation == pytest.approx(rate * 0.007 / gateway.replicas)


def test_more_requests_never_take_fewer_replicas():
    known = measured()
    counts = [
        plan(CapacityAim(rate, 1.2, WORK), known).services[-1].replicas
        for rate in (1, 10, 60, 200, 1000)
    ]
    assert counts == sorted(counts)
    assert counts[0] == 1


def test_an_aim_below_what_an_idle_engine_takes_is_refused_with_the_bound():
    known = measured()
    bound = idle_seconds(known.engine(None), WORK)

    with pytest.raises(InfeasibleError, match=f"an idle openvino-int8 takes {bound * 1e3:,.0f} ms"):
        plan(CapacityAim(1.0, bound * 0.99, WORK), known)


def test_a_request_that_the_cache_does_not_hold_is_refused_with_both_sizes():
    with pytest.raises(InfeasibleError, match="may come to 98 tokens, and openvino-int8 holds 90"):
        plan(CapacityAim(1.0, 9.0, WORK), measured(tokens=90))


def test_a_cache_with_room_for_few_answers_is_the_bottleneck():
    few = plan(CapacityAim(20.0, 60.0, WORK), measured(tokens=200))
    assert few.bottleneck == "inference: tokens that the cache holds"


def test_a_price_an_hour_is_that_of_a_thousand_requests_too():
    found = plan(CapacityAim(20.0, 1.2, WORK), measured(), price_per_hour=3.0)

    assert found.cost_per_hour == 3.0 * found.services[-1].replicas
    assert found.cost_per_thousand == pytest.approx(found.cost_per_hour / 72)
    assert plan(CapacityAim(20.0, 1.2, WORK), measured()).cost_per_hour is None


def bands(*loads: float, error: float = 0.1) -> tuple[LoadBand, ...]:
    return tuple(NEAR.model_copy(update={"load": load, "p95_error": error}) for load in loads)


def test_what_lies_beyond_the_last_validated_band_is_marked():
    aim = CapacityAim(9.0, 60.0, WORK)  # one engine at 0.56 of its capacity
    within = plan(aim, measured(bands=bands(0.5, 0.8)))
    beyond = plan(aim, measured(bands=bands(0.5)))
    wrong = plan(aim, measured(bands=(*bands(0.5), *bands(0.8, error=0.2), *bands(0.95))))

    assert within.marks == ()
    assert [mark.split(":")[0] for mark in beyond.marks] == ["not validated"]
    assert wrong.marks == beyond.marks


@pytest.mark.parametrize("field", ["refused", "predicted_refused"])
def test_a_run_with_refusals_validates_no_plan(field: str):
    band = NEAR.model_copy(update={field: 1})
    (mark,) = plan(CapacityAim(9.0, 60.0, WORK), measured(bands=(band,))).marks
    assert mark.startswith("not validated: ")


def test_assumed_times_of_a_service_in_front_are_marked():
    known = measured(bands=bands(0.5))
    guessed = GATEWAY.model_copy(update={"origin": "assumed", "source": "a guess"})
    marks = plan(
        CapacityAim(1.0, 60.0, WORK), known.model_copy(update={"services": (guessed,)})
    ).marks
    assert marks == ("assumed: gateway was not measured (a guess)",)


@pytest.mark.parametrize("origin", ["measured", "assumed"])
def test_more_answers_side_by_side_than_steps_are_known_for_are_marked(origin: str):
    known = measured(steps=GROWING[:1], bands=bands(0.5), origin=origin)
    marks = plan(CapacityAim(1.0, 60.0, WORK), known).marks
    assert marks[-1] == "extrapolated: 8 answers side by side, and steps are known up to 1"


def test_longer_requests_than_measured_and_assumed_times_are_marked():
    longer = replace(WORK, prompt_tokens=11)
    (mark,) = plan(CapacityAim(1.0, 60.0, longer), measured(bands=bands(0.5))).marks
    assert mark == "extrapolated: prompts of 11 tokens, and 10 were measured"

    (mark,) = plan(CapacityAim(1.0, 60.0, WORK), measured(origin="assumed")).marks
    assert mark.startswith("assumed: openvino-int8")
