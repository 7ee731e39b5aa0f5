"""An engine's child that waits for a core is not replaced; one that only waits is."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from modelmill_inference.adapters.engine_process import EngineProcess, ProcessPlan
from modelmill_inference.domain.generation import Abilities
from modelmill_inference.engine import EngineRestartingError
from modelmill_testkit.waiting import eventually

HANG_SECONDS = 2.5
RIVALS = 4
COMPUTE = "import time\ninput()\nwhile time.process_time() < 1.2: pass\nprint(flush=True)\ninput()"
HANG = "input()\ninput()"
SPIN = "while True: pass"


def on_the_first_core(script: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    os.sched_setaffinity(child.pid, [min(os.sched_getaffinity(0))])
    return child


class Peer:
    """Answers one question, when its process has computed."""

    def __init__(self, script: str) -> None:
        self._process = on_the_first_core(script)
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._computing: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        if "load" in message:
            self._said.put_nowait({"loaded": True})
        elif "embed" in message:
            self._computing = asyncio.create_task(self._compute(message["embed"]["id"]))

    async def _compute(self, number: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        if await asyncio.to_thread(self._process.stdout.readline):
            self._said.put_nowait({"result": [number, [[1.0]]]})

    async def receive(self) -> dict[str, Any]:
        return await self._said.get()

    async def close(self, _grace_seconds: float = 0.0) -> int:
        self._process.kill()
        if self._computing is not None:
            await self._computing
        self._process.communicate()
        return self._process.returncode


@dataclass(frozen=True)
class PeerPlan(ProcessPlan):
    script: str = COMPUTE

    async def start(self) -> Peer:
        return Peer(self.script)


def engine_of(script: str, folder: Path) -> EngineProcess:
    plan = PeerPlan(
        "peer", "", folder, {}, Abilities(), frozenset(), hang_seconds=HANG_SECONDS, script=script
    )
    return EngineProcess(plan)


async def test_a_child_that_waits_for_a_core_answers_in_the_end(tmp_path: Path) -> None:
    engine = engine_of(COMPUTE, tmp_path)
    await engine.load()
    rivals = [on_the_first_core(SPIN) for _ in range(RIVALS)]
    try:
        assert await engine.embed([[1]]) == [[1.0]]
    finally:
        for each in rivals:
            each.kill()
            each.communicate()
        await engine.close()


async def test_a_child_that_waits_for_nothing_is_replaced(tmp_path: Path) -> None:
    engine = engine_of(HANG, tmp_path)
    await engine.load()
    hung = engine.pid
    with pytest.raises(EngineRestartingError):
        await engine.embed([[1]])
    await eventually(lambda: engine.pid not in (None, hung))
    await engine.close()
