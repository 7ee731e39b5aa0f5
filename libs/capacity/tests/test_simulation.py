"""Requests of a simulated installation: what holds for each, whatever happens to replicas."""

from dataclasses import replace
from statistics import fmean

import pytest
import simpy
from capacity_support.textbook import MEMORYLESS, SERVICE_SECONDS, STEP_SECONDS, engine_times
from hypothesis import given
from hypothesis import strategies as st
from modelmill_capacity.engine import SimulatedEngine, SimulatedRequest
from modelmill_capacity.measurements import ServiceTimes
from modelmill_capacity.offered_load import OfferedRequest, RequestLengths
from modelmill_capacity.simulation import (
    Installation,
    ScalingRule,
    SimulatedRun,
    Station,
    simulate,
    simulate_trace,
)

GATEWAY = ServiceTimes(
    name="gateway", origin="measured", source="", request_seconds=0.01, token_seconds=0.0001
)
SCALING = ScalingRule(in_flight=4, most=8, interval_seconds=5.0, stabilization_seconds=20.0)


@given(
    load=st.floats(0.2, 1.5),
    replicas=st.integers(1, 3),
    losses=st.sampled_from([0.0, 120.0]),
    scaling=st.sampled_from([None, SCALING]),
    waiting=st.integers(0, 20),
    seed=st.integers(0, 10_000),
)
def test_each_request_ends_once_in_order_or_is_refused(
    load: float,
    replicas: int,
    losses: float,
    scaling: ScalingRule | None,
    waiting: int,
    seed: int,
):
    times = engine_times(4, waiting=waiting, prompt_token_seconds=0.001)
    it = Installation(times, replicas, [Station(GATEWAY, 2)], losses, scaling)
    rate = load * replicas * 4 / SERVICE_SECONDS
    run = simulate(it, MEMORYLESS, rate, seconds=20.0, seed=seed)

    for request in run.requests:
        assert (request.ended is None) is request.refused
        if request.ended is not None:
            assert request.first_token is not None
            assert request.arrived < request.first_token <= request.ended
            least = request.output_tokens * STEP_SECONDS + GATEWAY.request_seconds
            assert request.ended - request.arrived >= least - 1e-6


def test_runs_of_one_seed_are_equal_and_of_another_are_not():
    runs = [
        simulate(Installation(engine_times(4), 2), MEMORYLESS, 5.0, seconds=50.0, seed=seed)
        for seed in (1, 1, 2)
    ]
    first, again, other = (run.latencies() for run in runs)
    assert first == again != other


def test_more_than_may_wait_is_refused():
    full = Installation(engine_times(1, waiting=3), 1)
    run = simulate(full, MEMORYLESS, 5 / SERVICE_SECONDS, seconds=100.0)

    assert run.refused > len(run.requests) / 2
    assert run.throughput(10, 100) == pytest.approx(1 / SERVICE_SECONDS, rel=0.15)


def test_prompts_are_computed_in_chunks_while_answers_go_on():
    times = engine_times(2, chunk_tokens=100, prompt_token_seconds=0.001)
    run = simulate(Installation(times, 1), RequestLengths(250, 1, spread=0), 0.01, seconds=300.0)

    expected = 3 * STEP_SECONDS + 250 * 0.001
    assert run.latencies() == pytest.approx([expected] * len(run.requests))


def test_first_text_is_held_for_some_steps_and_comes_no_later_than_the_end():
    at_once, held = (
        simulate(Installation(engine_times(held_tokens=each), 1), MEMORYLESS, 0.1, seconds=500.0)
        for each in (0, 2)
    )

    assert held.latencies() == pytest.approx(at_once.latencies())
    for early, late in zip(at_once.requests, held.requests, strict=True):
        text = min(early.first_token + 2 * STEP_SECONDS, early.ended)
        assert late.first_token == pytest.approx(text)


@pytest.mark.parametrize(("together", "seconds"), [(1, STEP_SECONDS), (4, 4 * STEP_SECONDS)])
def test_text_that_is_held_comes_later_where_steps_take_longer(together: int, seconds: float):
    env = simpy.Environment()
    engine = SimulatedEngine(env, engine_times(4, shares=True, held_tokens=2), room_tokens=1)
    requests = [SimulatedRequest(0, 100, 0.0) for _ in range(together)]
    for each in requests:
        engine.submit(each)
    env.run()

    assert [it.first_token for it in requests] == pytest.approx([3 * seconds] * together)


def test_a_lost_replica_is_replaced_and_its_requests_are_answered_elsewhere():
    times = engine_times(4)
    spot = Installation(times, 3, losses_per_hour=60.0)
    run = simulate(spot, MEMORYLESS, 4.0, seconds=300.0)
    steady = simulate(replace(spot, losses_per_hour=0.0), MEMORYLESS, 4.0, seconds=300.0)

    assert run.losses > 3
    assert len(run.latencies()) == len(run.requests)
    assert max(run.latencies()) > max(steady.latencies())


@pytest.mark.parametrize(
    ("joins_at", "prompt_seconds", "kept"),
    [
        (None, 0.0, 50),
        # The event of many steps ends when somebody joins, and another one begins.
        (0.248, 0.0, 50),
        # The step that computes a long prompt is not over.
        (0.248, 1.0, 25),
    ],
)
def test_an_answer_that_is_lost_half_way_keeps_its_whole_steps(
    joins_at: float | None, prompt_seconds: float, kept: int
):
    env = simpy.Environment()
    times = engine_times(2, prompt_token_seconds=prompt_seconds / 1000)
    engine = SimulatedEngine(env, times, room_tokens=1)
    answer = SimulatedRequest(0, 100, 0.0)
    engine.submit(answer)
    if joins_at is not None:
        env.run(until=joins_at)
        engine.submit(SimulatedRequest(1000, 100, joins_at))
    env.run(until=0.505)

    assert answer in engine.lose()
    assert answer.generated == kept


def test_a_replica_that_is_lost_at_a_time_is_back_after_its_start():
    it = Installation(engine_times(4), 2, losses_at=(50.0,))
    run = simulate(it, MEMORYLESS, 4.0, seconds=120.0)

    assert run.replicas[2:] == [(50.0, 1), (50.0 + engine_times().start_seconds, 2)]
    assert len(run.latencies()) == len(run.requests)


def test_a_recorded_run_is_offered_at_its_times_with_its_lengths():
    trace = [OfferedRequest(1.0, 30), OfferedRequest(1.5, 10), OfferedRequest(9.0, 20)]
    run = simulate_trace(Installation(engine_times(4), 1), MEMORYLESS, trace)

    assert [(it.arrived, it.output_tokens) for it in run.requests] == [
        (it.at, it.output_tokens) for it in trace
    ]
    assert run.throughput(1.0, 2.0) == 2.0


def _grown_load(scaling: ScalingRule | None) -> SimulatedRun:
    """A third of what four replicas can do, and from 100 s on more than they can."""
    return simulate(
        Installation(engine_times(4), 4, scaling=scaling),
        MEMORYLESS,
        lambda now: 5.0 if now < 100 else 20.0,
        highest=20.0,
        seconds=300.0,
    )


def test_an_autoscaler_follows_a_load_after_its_delay():
    alone, run = _grown_load(None), _grown_load(replace(SCALING, stabilization_seconds=1000.0))

    delay = engine_times().start_seconds
    assert {many for at, many in run.replicas if 0 < at < 100 + delay} == set()
    assert max(many for _, many in run.replicas) > 5
    assert fmean(run.first_tokens(100, 100 + delay)) > 10 * fmean(run.first_tokens(0, 100))
    assert fmean(run.first_tokens(250, 300)) < fmean(alone.first_tokens(250, 300)) / 10


def test_an_autoscaler_takes_replicas_away_after_its_window_and_loses_no_request():
    run = simulate(
        Installation(engine_times(4), 6, scaling=SCALING), MEMORYLESS, 2.0, seconds=200.0
    )

    assert run.replicas[-1][1] < 3
    gone = [at for at, many in run.replicas if at > 0 and many < 6]
    assert min(gone) >= SCALING.stabilization_seconds
    assert len(run.latencies()) == len(run.requests)
