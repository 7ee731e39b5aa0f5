"""One running stack for all modules that only ask it wrong questions."""

from collections.abc import Iterator

import pytest
from modelmill_testkit.ports import free_port

from tests.bad_input.mill import StartedMill


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedMill]:
    """A `mill up` that is ready; every test leaves it working."""
    state = tmp_path_factory.mktemp("stack") / "state"
    up = StartedMill(state, "up", "--http-port", str(free_port()))
    try:
        up.wait_for_line("ready:")
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
        status = up.process.wait(60)
        left = up.processes()
        for process in left:
            process.kill()
    assert (status, left) == (0, []), up.log[-3000:]
