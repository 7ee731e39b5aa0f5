"""LiteLLM's proxy as its documentation starts it: one worker, a master key, one model, no database.

Its own environment, build/litellm. No list of prices is fetched, no telemetry sent, logs at ERROR:
all of which is in its favour.
"""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

from tests.bench.harness import WORK_FOLDER

LITELLM = Path("build/litellm")
MODEL = "bench"
START_SECONDS = 120.0
LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    port: int
    key: str
    pid: int

    def cpu_seconds(self) -> float:
        """CPU taken so far, by all of its processes."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


@asynccontextmanager
async def litellm_proxy(
    upstream_port: int, guardrails: Sequence[Mapping[str, object]] = ()
) -> AsyncIterator[Proxy]:
    """The proxy before an OpenAI-compatible upstream, until the block ends."""
    port, key = free_port(), f"sk-{secrets.token_hex(12)}"
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    config = WORK_FOLDER / "litellm.json"
    config.write_text(json.dumps({**_config(upstream_port, key), "guardrails": [*guardrails]}))
    with (WORK_FOLDER / "litellm.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(LITELLM / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"),
            *("--port", str(port), "--num_workers", "1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ
            | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"},
            start_new_session=True,
        )
    try:
        await eventually(lambda: _answers(port, process), within=START_SECONDS)
        yield Proxy(port, key, process.pid)
    finally:
        await _end(process)


def _config(upstream_port: int, key: str) -> dict[str, object]:
    parameters = {
        "model": f"openai/{MODEL}",
        "api_base": f"http://127.0.0.1:{upstream_port}/v1",
        "api_key": "none",
    }
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": key, "disable_spend_logs": True},
    }


async def _answers(port: int, process: asyncio.subprocess.Process) -> bool:
    if process.returncode is not None:
        raise OSError(f"litellm ended with {process.returncode}; see {WORK_FOLDER}/litellm.log")
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=2)
            return answer.status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
