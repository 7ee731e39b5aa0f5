"""`mill doctor` beside a real `mill up`: nothing while it is well, and a service that hangs."""

import json
import os
import signal
from pathlib import Path

import pytest
from modelmill_cli.app import run_app
from modelmill_cli.doctor import machine
from modelmill_cli.doctor.diagnose import CHECKS, diagnose, examine
from modelmill_cli.stack import StackOptions, running_stack
from modelmill_cli.state_folder import StateFolder

OF_THE_MACHINE = {check.id for check in machine.CHECKS}
"""What the machine of a test is short of is no fault of the stack."""


async def found(state: StateFolder) -> set[str]:
    findings = diagnose(await examine(state, ports={"--http-port": 8080}))
    return {it.check for it in findings} - OF_THE_MACHINE


@pytest.mark.timeout(180)
async def test_a_healthy_stack_has_no_finding_and_a_service_that_hangs_is_named(tmp_path: Path):
    state = StateFolder(tmp_path / "state")
    options = StackOptions(http_port=0, tls=True)
    async with running_stack(state, options, lambda _name, _line: None) as stack:
        assert await found(state) == set()
        trainer = stack.processes["trainer"].pid
        os.kill(trainer, signal.SIGSTOP)
        try:
            assert await found(state) == {"metrics-silent"}
        finally:
            os.kill(trainer, signal.SIGCONT)


@pytest.mark.tier("test")
def test_programs_get_a_line_of_json_for_each_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "webhook.key").write_text("short")
    assert run_app(["--state", str(tmp_path), "doctor", "--http-port", "0", "--json"]) == 1
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "webhook-key" in {it["check"] for it in findings} <= {it.id for it in CHECKS}
    assert all({*it} == {"check", "severity", "problem", "remedy"} for it in findings)
