"""A service whose event loop is blocked ends, whatever blocks it, and is started again."""

import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE

import pytest
from modelmill_service_kit.process_supervisor import SupervisedProcess
from modelmill_testkit.waiting import eventually

SERVICE = """
import asyncio, os, re, sys, time
from pathlib import Path
from modelmill_service_kit.process import announce_ready, run_service
from modelmill_service_kit.settings import ServiceSettings
from pydantic_settings import SettingsConfigDict

class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="LIVE_")

async def serve(settings, stopping):
    announce_ready(grpc=1)
    {body}

run_service("live", Settings, serve)
"""
GIL_HELD = "10 ** (10 ** 8) % 7"
BACKTRACKING = "re.match('(a+)+$', 'a' * 64 + 'b')"
NO_PROCESSOR = "time.sleep(3600)"


def environment(seconds: float) -> dict[str, str]:
    given = {
        "NATS_URL": "nats://127.0.0.1:1",
        "NATS_TOKEN": "t",
        "SERVICE_SECRET": "s",
        "ARTIFACT_ROOT": "/tmp",
        "METRICS_ADDRESS": "127.0.0.1:0",
        "BLOCKED_SECONDS": str(seconds),
    }
    return {f"LIVE_{name}": value for name, value in given.items()}


@pytest.mark.parametrize("blocking", [GIL_HELD, BACKTRACKING, NO_PROCESSOR])
async def test_a_blocked_loop_ends_the_process_and_names_the_line(blocking: str):
    code = SERVICE.format(body=blocking)
    process = await create_subprocess_exec(
        sys.executable, "-c", code, env=environment(0.5), stdout=PIPE, stderr=PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"Timeout" in errors
    assert b" in serve" in errors


async def test_a_busy_loop_that_still_runs_is_left_alone():
    body = "\n    ".join(
        (
            "end = time.monotonic() + 3",
            "while time.monotonic() < end:",
            "    time.sleep(0.05); await asyncio.sleep(0)",
        )
    )
    process = await create_subprocess_exec(
        *(sys.executable, "-c", SERVICE.format(body=body)), env=environment(2), stderr=PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, b"Timeout" in errors) == (0, False)


@pytest.mark.tier("test")
async def test_the_supervisor_starts_a_blocked_service_again():
    lines: list[str] = []
    process = SupervisedProcess(
        "live",
        [sys.executable, "-c", SERVICE.format(body=GIL_HELD)],
        environment(0.5),
        lambda _name, line: lines.append(line),
    )
    await process.start()
    try:
        await eventually(lambda: process.restarts > 0)
        assert any("ended with status 1" in line for line in lines)
    finally:
        await process.stop(within_seconds=0.1)
