"""What is said of a pruned model that was trained."""

import pytest
from modelmill_trainer.domain.recovery import RECOVERED_WITHIN, assess_recovery


def interval(low: float, high: float) -> dict[str, float]:
    return {"mean": (low + high) / 2, "low": low, "high": high}


NEAR, FAR = interval(-RECOVERED_WITHIN, 0.01), interval(-RECOVERED_WITHIN - 1e-9, 0.01)


@pytest.mark.parametrize(
    ("gain", "left", "verdict"),
    [
        (interval(0.1, 0.2), NEAR, "recovered"),
        (interval(0.1, 0.2), FAR, "improved"),
        (interval(0.1, 0.2), None, "improved"),
        (interval(-0.1, 0.1), NEAR, "recovered"),
        (interval(-0.1, 0.1), FAR, "undecided"),
        (interval(-0.2, -0.1), NEAR, "worse"),
        (interval(-0.2, -0.1), None, "worse"),
    ],
)
def test_recovered_is_what_the_interval_shows_near_the_whole_model(
    gain: dict[str, float], left: dict[str, float] | None, verdict: str
) -> None:
    found = assess_recovery(gain, left)

    assert found["verdict"] == verdict
    assert found["gain"] == gain
    assert found.get("left") == left


def test_without_a_score_nothing_is_said() -> None:
    assert assess_recovery(None, NEAR) == {}
