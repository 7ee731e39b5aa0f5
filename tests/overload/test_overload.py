"""The drill in short: what it counts is there, nothing is left, and a broken promise is told."""

from pathlib import Path

import pytest

from tests.overload.drill import Run, dropped, overload


async def test_under_five_times_the_load_what_can_be_done_is_done(tmp_path: Path):
    run = Run()
    await overload(run, tmp_path, seconds=3.0)

    assert run.others == []
    assert run.overload["refused"] > run.once["refused"]
    assert run.overload["without_retry_after"] == 0
    # How much, and how soon, is measured by hand, on a machine without other work.
    assert run.overload["answered"] > 0


async def test_streams_whose_clients_all_leave_at_once_leave_nothing(tmp_path: Path):
    run = Run()
    await dropped(run, tmp_path, streams=100)

    assert run.stopped_ms > 0
    assert not any(run.held.values()), run.held


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"goodput_overload": 94.0}, "goodput 0.940"),
        ({"overload": {"refused": 5, "refusal_p99_ms": 51.0}}, "refusals p99 51.0 ms"),
        ({"overload": {}}, "nothing was refused, so nothing was shown"),
        ({"overload": {"refused": 5, "without_retry_after": 1}}, "refusals without Retry-After"),
        ({"overload": {"refused": 5, "late": 3}}, "late: 3 were let in"),
        ({"others": ["500"]}, "other ends: ['500']"),
        ({"held": {"calls": 1.0}}, "leaked: {'calls': 1.0}"),
    ],
)
def test_a_broken_promise_is_told(broken: dict[str, object], said: str):
    kept = Run(goodput_once=100.0, goodput_overload=100.0, overload={"refused": 5})
    assert kept.broken_promises() == []

    for name, value in broken.items():
        setattr(kept, name, value)
    assert kept.broken_promises() == [said]
