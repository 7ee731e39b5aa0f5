"""`mill doctor` finds each planted problem, by one check alone, and none where there is none."""

import asyncio
import json
import os
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from modelmill_bus.inspection import InspectedStream
from modelmill_cli.app import run_app
from modelmill_cli.doctor.diagnose import CHECKS, diagnose, examine
from modelmill_cli.doctor.examined import Examined
from modelmill_cli.state_folder import StateFolder
from modelmill_service_kit.checks import Finding
from modelmill_service_kit.endings import MARK
from modelmill_testkit.shared_nats import shared_nats

from tests.doctor.broker import beside, plant_in, seen
from tests.doctor.planted import PLANTED, PLANTED_IN_BROKER, healthy

ROOT = Path(__file__).parents[2]
OF_THEIR_OWN = {"port-taken", "leftovers", "stream-full", "clock-skew"}
"""Checks whose problems are planted by a test of their own, below."""


def found_by(it: Examined) -> set[str]:
    return {finding.check for finding in diagnose(it)}


def test_each_check_has_a_planted_problem_and_a_name_of_its_own():
    names = [check.id for check in CHECKS]
    assert len(names) == len({*names}) >= 25
    assert {*names} == {*PLANTED, *PLANTED_IN_BROKER, *OF_THEIR_OWN}


def test_the_reference_has_each_check_with_what_it_expects():
    text = (ROOT / "docs" / "reference" / "mill.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \((\w+)\) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(check.id, check.severity.value, check.about) for check in CHECKS]


def test_nothing_is_found_in_a_healthy_folder(tmp_path: Path):
    assert [*diagnose(healthy(tmp_path))] == []


@pytest.mark.parametrize("check", PLANTED)
def test_a_planted_problem_is_found_by_its_check_alone(check: str, tmp_path: Path):
    planted = PLANTED[check](healthy(tmp_path))
    assert found_by(planted) == {check}
    assert all(it.problem and it.remedy for it in diagnose(planted))


@pytest.mark.parametrize("check", ["", *PLANTED_IN_BROKER])
async def test_a_problem_of_the_streams_is_found_by_its_check_alone(check: str, tmp_path: Path):
    it = healthy(tmp_path)
    async with shared_nats() as server:
        await plant_in(server, check)
        assert found_by(beside(it, await seen(server))) == ({check} if check else set())


async def test_a_nearly_full_stream_and_a_clock_that_differs_are_found(tmp_path: Path):
    it = healthy(tmp_path)
    async with shared_nats() as server:
        await plant_in(server, "")
        broker = await seen(server)
        early = await seen(server, clock=lambda: time.time() - 60)
        late = await seen(server, clock=lambda: time.time() + 60)
    jobs = broker.streams["JOBS"]
    assert isinstance(jobs, InspectedStream)
    full = replace(jobs, used_bytes=int(0.9 * jobs.limit_bytes))
    there = replace(broker, streams={**broker.streams, "JOBS": full})
    assert found_by(beside(it, there)) == {"stream-full"}
    assert 55 < early.ahead_seconds < 65
    assert -65 < late.ahead_seconds < -55
    assert found_by(beside(it, early)) == found_by(beside(it, late)) == {"clock-skew"}


def said(capsys: pytest.CaptureFixture[str], state: Path, *more: str) -> list[Finding]:
    """What the command finds, that ends with 1 if it is anything."""
    status = run_app(["--state", str(state), "doctor", "--json", *more])
    lines = capsys.readouterr().out.splitlines()
    assert status == (1 if lines else 0)
    return [Finding(**json.loads(line)) for line in lines]


@pytest.mark.tier("test")
def test_a_taken_port_is_found_unless_nobody_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        (found,) = (
            it
            for it in said(capsys, tmp_path / "none", "--http-port", port)
            if it.check == "port-taken"
        )
        assert port in found.problem
        assert "--http-port" in found.remedy
        others = said(capsys, tmp_path / "none", "--http-port", "0")
    assert "port-taken" not in {it.check for it in others}


@pytest.mark.tier("test")
async def test_processes_that_nobody_supervises_are_found(tmp_path: Path):
    it = healthy(tmp_path)
    environment = os.environ | {MARK: it.state.mark}
    sleeping = await asyncio.create_subprocess_exec("sleep", "60", env=environment)
    try:
        assert found_by(it) == {"leftovers"}
    finally:
        sleeping.kill()
        await sleeping.wait()


@pytest.mark.tier("test")
def test_people_are_told_each_problem_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signing-key.pem").write_text("no\x1b[31m key")
    assert run_app(["--state", str(tmp_path), "doctor", "--http-port", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (problem,) = (number for number, line in enumerate(lines) if "error signing-key:" in line)
    assert lines[problem + 1].startswith("  Bring it back")
    assert re.search(rf"{len(CHECKS)} checks, no running instance", lines[-1])


@pytest.mark.tier("test")
def test_a_configuration_that_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    missing = str(tmp_path / "none.conf")
    assert run_app(["--state", str(tmp_path), "doctor", "--broker-config", missing]) == 2
    assert missing in capsys.readouterr().err


@pytest.mark.tier("test")
async def test_the_configuration_of_compose_has_no_problem(tmp_path: Path):
    file = ROOT / "deploy" / "nats" / "nats.conf"
    it = await examine(StateFolder(tmp_path / "none"), ports={}, broker_config=file)
    assert {each for each in found_by(it) if each.startswith("broker-")} == set()
