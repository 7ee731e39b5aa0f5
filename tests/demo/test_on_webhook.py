"""The demo's receiver of webhooks as a process of its own, with Python alone."""

import ast
import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
from modelmill_gateway.domain.webhooks import signed_headers, written_secret
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually

RECEIVER = Path(__file__).parents[2] / "deploy" / "demo" / "on_webhook.py"
SECRET = bytes(range(32))
BODY = b'{"type":"job.succeeded","timestamp":"2026-11-25T12:00:00Z","data":{}}'


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Process, str]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", RECEIVER),
        env={**os.environ, "WEBHOOK_SECRET": written_secret(SECRET), "PORT": str(port)},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        await process.communicate()


async def test_it_takes_what_is_signed_and_refuses_what_is_not():
    headers = signed_headers("msg_1", datetime.now(UTC), BODY, [SECRET])
    forged = signed_headers("msg_1", datetime.now(UTC), BODY, [SECRET[::-1]])
    async with (
        receiving() as (process, url),
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):

        async def status(content: bytes, headers: dict[str, str]) -> int | None:
            try:
                return (await client.post(url, content=content, headers=headers)).status_code
            except httpx.ConnectError:
                return None

        assert await eventually(lambda: status(BODY, headers)) == 204
        assert await status(BODY, forged) == 401
        assert await status(BODY + b" ", headers) == 401
        assert await status(BODY, {}) == 401
        assert await status(BODY, headers | {"webhook-timestamp": "soon"}) == 401
        assert process.stdout is not None
        line = await process.stdout.readline()

    assert line == b"msg_1 job.succeeded\n"


def test_what_a_receiver_must_check_is_ten_lines():
    tree = ast.parse(RECEIVER.read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    (check,) = [function for function in functions if function.name == "is_genuine"]

    assert check.end_lineno is not None
    assert check.end_lineno - check.lineno <= 10


def test_without_its_secret_it_says_where_that_comes_from_before_an_event_is_lost():
    without = {name: value for name, value in os.environ.items() if name != "WEBHOOK_SECRET"}
    ended = subprocess.run(
        [sys.executable, "-I", RECEIVER], env=without, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == "WEBHOOK_SECRET is not set. POST /v1/webhooks answers it, as `secret`\n"
