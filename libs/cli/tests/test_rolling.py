"""`mill up --rolling`: what it refuses, and that a successor which is not well changes nothing."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import cast

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.errors import RollingFailedError
from modelmill_cli.orders_socket import Message, Tell, give_order, taking_orders
from modelmill_cli.process_group import Command, ProcessGroup
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_cli.state_layout import LAYOUT
from modelmill_service_kit.errors import PreconditionError, UnavailableError
from modelmill_service_kit.process_supervisor import SupervisedProcess

SERVICE = [sys.executable, "-c", "import time; print('READY grpc=1', flush=True); time.sleep(60)"]
BROKEN = [sys.executable, "-c", "raise SystemExit('no such model')"]


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / ("deep" * 30) / "state")


def publish(state: StateFolder, *, layout: int, pids: dict[str, int]) -> None:
    runtime = Runtime(os.getpid(), "http://127.0.0.1:1", "", "", "", "", {}, {}, pids, layout)
    state.write_runtime(runtime)


def said(state: StateFolder, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = run_app(["--state", str(state.path), "up", "--rolling", *more])
    return status, capsys.readouterr().err


def test_without_a_stack_it_says_how_to_start_one(
    state: StateFolder, capsys: pytest.CaptureFixture[str]
):
    status, line = said(state, capsys)

    assert status == 2
    assert "nothing runs on" in line
    assert "Start it with `mill up`" in line


def test_options_of_a_start_are_refused_by_name(
    state: StateFolder, capsys: pytest.CaptureFixture[str]
):
    status, line = said(state, capsys, "--http-port", "0", "--tls")

    assert status == 2
    assert "Leave out --http-port, --tls" in line


@pytest.mark.parametrize("layout", [0, LAYOUT + 1])
def test_a_stack_of_another_layout_is_left_alone(
    state: StateFolder, capsys: pytest.CaptureFixture[str], layout: int
):
    with state.locked():
        publish(state, layout=layout, pids={})
        status, line = said(state, capsys)

    assert status == 2
    assert f"has layout {layout}, and this mill has {LAYOUT}. Stop that one" in line


def test_a_mill_that_takes_no_orders_is_named(
    state: StateFolder, capsys: pytest.CaptureFixture[str]
):
    with state.locked():
        publish(state, layout=LAYOUT, pids={})
        status, line = said(state, capsys)

    assert status == 2
    assert "takes no orders. Stop it, and start it again" in line


def test_what_a_newer_mill_adds_to_its_runtime_is_passed_over(state: StateFolder):
    with state.locked():
        publish(state, layout=LAYOUT, pids={"gateway": 7})
        written = json.loads(state.runtime_file.read_text())
        state.runtime_file.write_text(json.dumps(written | {"of_tomorrow": True}))

        assert state.read_runtime().pids == {"gateway": 7}


async def test_orders_are_obeyed_from_a_deep_folder_and_refusals_come_back_as_errors(
    state: StateFolder,
):
    async def obey(order: Message, tell: Tell) -> None:
        await tell({"heard": order["word"]})
        if order["word"] == "no":
            raise PreconditionError("not now. Wait")

    with state.locked():
        async with taking_orders(state, obey, lambda _name, _line: None):
            assert state.orders.stat().st_mode & 0o077 == 0
            heard = [message async for message in give_order(state, {"word": "yes"})]
            with pytest.raises(PreconditionError, match=r"not now\. Wait"):
                [message async for message in give_order(state, {"word": "no"})]
            with pytest.raises(PreconditionError, match="cannot be read"):
                [message async for message in give_order(state, cast(Message, "yes"))]

    assert heard == [{"heard": "yes"}]


@pytest.mark.parametrize("error", [KeyError("nobody"), ValueError("bug"), OSError("disk full")])
async def test_what_goes_wrong_while_an_order_is_obeyed_is_logged_and_told_as_that(
    state: StateFolder, error: Exception
):
    lines: list[str] = []

    async def obey(_order: Message, _tell: Tell) -> None:
        raise error

    with state.locked():
        async with taking_orders(state, obey, lambda _name, line: lines.append(line)):
            with pytest.raises(RollingFailedError, match=r"Mend what up\.log in the state folder"):
                [message async for message in give_order(state, {"word": "yes"})]

    assert "Traceback" in lines[0]
    assert str(error) in lines[0]


async def replace(group: ProcessGroup, argv: list[str], *, is_well: bool = True) -> None:
    async def check(_successor: SupervisedProcess) -> None:
        if not is_well:
            raise UnavailableError("not healthy")

    await group.replace("service", Command(argv), check=check, by=signal.SIGTERM, within_seconds=10)


@pytest.mark.tier("test")
async def test_a_successor_takes_over_and_is_kept_running(tmp_path: Path):
    lines: list[str] = []
    group = ProcessGroup(lambda _name, line: lines.append(line), mark=str(tmp_path))
    async with group:
        await group.start({"service": Command(SERVICE)})
        old = group.running["service"]
        watching = asyncio.create_task(group.given_up())
        await replace(group, SERVICE)

        assert group.running["service"] is not old
        assert (old.is_running, group.running["service"].is_running) == (False, True)
        assert not watching.done()
        watching.cancel()
    assert not group.running["service"].is_running


@pytest.mark.tier("test")
async def test_a_service_that_does_not_end_is_killed_after_its_own_time(tmp_path: Path):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('READY', flush=True)"
    argv = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    lines: list[str] = []
    async with ProcessGroup(lambda _name, line: lines.append(line), mark=str(tmp_path)) as group:
        await group.start({"service": Command(argv, stop_seconds=0.2)})

    assert lines == ["did not stop within 0.2 s; killed"]


@pytest.mark.tier("test")
async def test_an_old_one_ends_although_nobody_could_be_told_of_its_successor(tmp_path: Path):
    def cannot_write() -> None:
        raise OSError("no space left on device")

    group = ProcessGroup(lambda _name, _line: None, mark=str(tmp_path), on_restart=cannot_write)
    async with group:
        await group.start({"service": Command(SERVICE)})
        old = group.running["service"]
        with pytest.raises(OSError, match="no space left"):
            await replace(group, SERVICE)

        assert group.running["service"] is not old
        assert (old.is_running, group.running["service"].is_running) == (False, True)


@pytest.mark.tier("test")
@pytest.mark.parametrize(("argv", "is_well"), [(BROKEN, True), (SERVICE, False)])
async def test_a_successor_that_is_not_well_is_gone_and_the_old_one_goes_on(
    tmp_path: Path, argv: list[str], is_well: bool
):
    group = ProcessGroup(lambda _name, _line: None, mark=str(tmp_path))
    async with group:
        await group.start({"service": Command(SERVICE)})
        old = group.running["service"]
        with pytest.raises(UnavailableError, match=r"no such model|not healthy"):
            await replace(group, argv, is_well=is_well)

        assert group.running["service"] is old
        assert old.is_running
