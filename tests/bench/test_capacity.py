"""Service times that `capacity` computes from turns, and what it says of a band."""

from dataclasses import replace

import pytest
from modelmill_capacity.offered_load import OfferedRequest

from tests.bench.capacity import Band, Figures, offered_to_both
from tests.bench.capacity_calibration import Turn, service_times, step_times
from tests.bench.machine_speed import unsteady

STEPS = {1: 0.010, 2: 0.012, 4: 0.014, 8: 0.020, 16: 0.032}
PROMPT, OVERHEAD = 0.005, 0.004
FOUND = Figures(throughput=5.0, first_token=0.1, p95=2.0)
BAND = Band(0.8, 5.0, FOUND, replace(FOUND, p95=2.2), 1.9, 2.4, 450, 0, 0)


def a_turn(batch: int, mean: int) -> Turn:
    """Of an engine with just these times: every slot is on its way, in a prompt, or in a step."""
    answer = mean * STEPS[batch] + batch * PROMPT + OVERHEAD
    rate = batch / answer
    return Turn(
        in_flight=batch,
        tokens_per_second=rate * mean,
        prompts_per_second=rate,
        prompt_tokens=50,
        first_text_tokens=1,
        cpu={"gateway": rate * 10 * (0.001 + mean * 0.0001)},
        requests=round(rate * 1000),
        tokens=round(rate * 1000) * mean,
    )


def test_turns_of_two_lengths_give_back_the_times_that_they_were_made_of() -> None:
    long, short = ([a_turn(batch, mean) for batch in STEPS] for mean in (64, 8))
    found = step_times(long, short)

    assert found.prompt_seconds == pytest.approx(PROMPT, rel=0.02)
    assert found.overhead_seconds == pytest.approx(OVERHEAD, rel=0.02)
    assert [it.seconds for it in found.steps] == pytest.approx([*STEPS.values()], rel=0.02)


def test_processor_time_is_divided_into_that_of_a_request_and_that_of_a_token() -> None:
    found = service_times("gateway", a_turn(16, 64), a_turn(16, 8), "a test")

    assert found.request_seconds == pytest.approx(0.00001, rel=0.05)
    assert found.token_seconds == pytest.approx(0.000001, rel=0.05)


@pytest.mark.parametrize(
    ("load", "p95", "met"),
    [(0.8, 2.2, True), (0.8, 2.4, False), (0.8, 1.6, False), (0.95, 2.4, True), (1.1, 9.0, None)],
)
def test_a_goal_is_an_error_up_to_four_fifths_and_a_band_above(
    load: float, p95: float, met: bool | None
) -> None:
    band = replace(BAND, load=load, predicted=replace(FOUND, p95=p95))
    (entry,) = (it for it in band.entries() if it.id == f"operators.capacity.{load:g}.p95")

    assert entry.met is met
    assert entry.value == pytest.approx(p95 / 2.0 - 1)


def test_a_measured_p95_outside_the_predicted_band_misses_the_goal() -> None:
    band = replace(BAND, load=0.95, low=2.1)
    (entry,) = (it for it in band.entries() if it.id == "operators.capacity.0.95.p95")
    assert entry.met is False
    assert not band.as_record(10.0).p95_lies_in_band


def goals(band: Band) -> dict[str, bool | None]:
    return {entry.id.rpartition(".")[2]: entry.met for entry in band.entries()}


@pytest.mark.parametrize("field", ["refused", "predicted_refused"])
def test_a_goal_is_missed_by_a_refusal_on_either_side(field: str) -> None:
    assert goals(replace(BAND, **{field: 1})) == {
        "throughput": None,
        "first_token": False,
        "p95": False,
    }


def test_throughput_below_capacity_has_no_goal() -> None:
    assert goals(BAND) == {"throughput": None, "first_token": True, "p95": True}


def test_a_record_has_the_load_as_a_share_of_the_computed_capacity() -> None:
    record = replace(BAND, refused=2, predicted_refused=1).as_record(10.0)
    assert (record.load, record.refused, record.predicted_refused) == (0.5, 2, 1)


def test_a_refused_request_is_offered_with_the_tokens_that_it_asked_for() -> None:
    answers = [
        {"at": 2.0, "ended": 3.0, "tokens": 20},
        {"at": 1.0, "ended": None, "tokens": 0},
    ]
    assert offered_to_both(answers, [64, 30]) == [OfferedRequest(1.0, 30), OfferedRequest(2.0, 20)]


@pytest.mark.parametrize(
    ("seconds", "steady"),
    [([0.10, 0.11, 0.114], True), ([0.10, 0.12], False), ([0.5, 0.36], False)],
)
def test_a_machine_whose_speed_changed_is_told(seconds: list[float], steady: bool) -> None:
    assert (unsteady(seconds) == "") is steady
