"""The simulation agrees with queueing theory where that has closed forms."""

import math
from statistics import fmean

import pytest
import simpy
from capacity_support.textbook import (
    MEMORYLESS,
    SERVICE_SECONDS,
    STEP_SECONDS,
    engine_times,
    mean_wait,
)
from hypothesis import given
from hypothesis import strategies as st
from modelmill_capacity.engine import SimulatedEngine, SimulatedRequest
from modelmill_capacity.simulation import Installation, simulate

REQUESTS = 20_000
TOLERANCE = 0.12
"""Of means over so many requests, which wait for each other and so vary more."""


@pytest.mark.tier("test")
@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.7), (4, 0.7), (8, 0.8)])
def test_requests_wait_as_long_as_in_an_m_m_c_queue(servers: int, load: float):
    rate = load * servers / SERVICE_SECONDS
    run = simulate(
        Installation(engine_times(servers), 1), MEMORYLESS, rate, seconds=REQUESTS / rate
    )

    # The first token comes a step after the wait, and who arrives waits for half a step more.
    waits = [seconds - STEP_SECONDS for seconds in run.first_tokens()]
    assert fmean(waits) == pytest.approx(mean_wait(servers, load), rel=TOLERANCE, abs=STEP_SECONDS)


@pytest.mark.tier("test")
@pytest.mark.parametrize("load", [0.5, 0.7])
def test_an_engine_whose_steps_grow_with_the_batch_shares_its_processor(load: float):
    rate = load / SERVICE_SECONDS
    times = engine_times(200, shares=True)
    run = simulate(Installation(times, 1), MEMORYLESS, rate, seconds=REQUESTS / rate)

    shared = SERVICE_SECONDS / (1 - load)
    assert fmean(run.latencies()) == pytest.approx(shared, rel=TOLERANCE)


@given(load=st.floats(0.1, 0.9), seed=st.integers(0, 10_000))
def test_an_engine_that_answers_one_at_a_time_is_busy_for_exactly_the_work(load: float, seed: int):
    rate = load / SERVICE_SECONDS
    times = engine_times(prompt_token_seconds=0.001)
    run = simulate(Installation(times, 1), MEMORYLESS, rate, seconds=300 / rate, seed=seed)

    work = sum(it.output_tokens * STEP_SECONDS + it.prompt_tokens * 0.001 for it in run.requests)
    assert run.busy_seconds == pytest.approx(work)
    assert len(run.latencies()) == len(run.requests)


@given(load=st.floats(0.2, 0.8), seed=st.integers(0, 10_000))
def test_requests_in_flight_are_their_rate_times_their_time(load: float, seed: int):
    """Little's law: what an observer sees in the engine, and what requests say of their time."""
    env, seen = simpy.Environment(), []
    engine = SimulatedEngine(env, engine_times(4), room_tokens=1)
    requests = [SimulatedRequest(10, 20 + (seed * number) % 150, 0.0) for number in range(1, 61)]
    gap = SERVICE_SECONDS / 4 / load

    def arrive():
        for request in requests:
            yield env.timeout(gap)
            request.arrived = env.now
            engine.submit(request)

    def observe():
        while True:
            yield env.timeout(STEP_SECONDS)
            seen.append(engine.in_flight)

    env.process(arrive())
    env.process(observe())
    env.run(until=gap * len(requests) + 30 * SERVICE_SECONDS)

    time_spent = sum((it.ended or math.inf) - it.arrived for it in requests)
    assert fmean(seen) == pytest.approx(time_spent / env.now, rel=0.02)
