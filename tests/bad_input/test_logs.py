"""What `mill up` says on the terminal: little while all is well, and enough when it is not."""

import signal

import pytest
from modelmill_testkit.ports import free_port

from tests.bad_input.mill import StartedMill, mill

pytestmark = pytest.mark.timeout(240)


def test_a_start_is_two_lines_that_say_where_the_logs_are(tmp_path):
    state = tmp_path / "state"
    up = StartedMill(state, "up", "--http-port", str(free_port()))
    up.wait_for_line("ready:")
    assert up.signal_until_ended(signal.SIGINT) == 0

    starting, ready, *_ = up.log.splitlines()
    assert starting.startswith("starting on")
    assert str(state / "up.log") in starting
    assert ready.startswith("ready: http://127.0.0.1:")
    assert "Server is ready" in (state / "up.log").read_text()


def test_a_start_that_fails_shows_the_end_of_the_log_and_where_all_of_it_is(tmp_path):
    state = tmp_path / "state"
    ended = mill(state, "up", "--http-port", str(free_port()), INFERENCE_MAX_IN_FLIGHT="none")

    assert ended.status == 2
    *tail, where, last = ended.err.splitlines()
    assert last.startswith("mill: inference did not start")
    assert where == f"all of the log: {state / 'up.log'}"
    assert 0 < len(tail) <= 20
    assert any("inference" in line for line in tail)
