"""A taken port is one line that names it, its holder and the option; nothing is left running."""

import os
import socket
from contextlib import ExitStack

import pytest
from modelmill_testkit.ports import free_port

from tests.bad_input.mill import StartedMill, mill, processes_on, wait_for

pytestmark = pytest.mark.timeout(240)

OPTIONS = ("--http-port", "--grpc-port", "--metrics-port", "--nats-port")


def test_every_taken_port_is_named_with_its_holder_and_its_option(tmp_path):
    state = tmp_path / "state"
    with ExitStack() as stack:
        arguments = []
        for option in OPTIONS:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            arguments += [option, str(listener.getsockname()[1])]
        ended = mill(state, "up", *arguments)

    assert ended.status == 2
    for option, port in zip(OPTIONS, arguments[1::2], strict=True):
        assert f"port {port} is taken by" in ended.line
        assert f"give {option} another" in ended.line
    assert f"(pid {os.getpid()})" in ended.line
    assert processes_on(state) == []


def test_one_number_for_two_ports_is_refused(tmp_path):
    port = str(free_port())
    ended = mill(tmp_path / "state", "up", "--http-port", port, "--grpc-port", port)
    assert (ended.status, "same port" in ended.line) == (2, True)


def test_a_port_that_is_taken_after_we_looked_is_named_as_well(tmp_path):
    port = free_port()
    up = StartedMill(tmp_path / "state", "up", "--http-port", str(port))
    log = up.state.path / "up.log"
    # The broker; the gateway is the last to start.
    wait_for(lambda: log.exists() and "Server is ready" in log.read_text())
    with socket.create_server(("127.0.0.1", port)):
        assert up.process.wait(120) == 2, up.log
    *_, last = up.log.splitlines()
    assert last.startswith(f"mill: port {port} is taken by")
    assert "give --http-port another" in last
    assert "Traceback" not in up.log
    assert up.processes() == []
