"""The demo's subscriber as a process of its own, beside a broker that it did not start."""

import ast
import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import make_streams
from modelmill_bus.subjects import MODEL_READY
from modelmill_testkit.nats_server import run_nats

SUBSCRIBER = Path(__file__).parents[2] / "deploy" / "demo" / "on_model_ready.py"


@asynccontextmanager
async def subscribed(url: str, seed: Path) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        SUBSCRIBER,
        env={**os.environ, "NATS_URL": url, "NATS_NKEY_SEED_FILE": str(seed)},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def ready(version_id: str) -> ModelReady:
    return ModelReady(
        version_id=version_id,
        form="openvino-int8",
        digest="sha256:4c1f",
        metrics={"accuracy": 0.87},
    )


async def test_each_new_model_is_one_line_also_when_it_is_announced_twice(tmp_path: Path):
    people = Identities(tmp_path / "identities")
    people.ensure()
    async with run_nats(tmp_path / "nats", people.authorization()) as broker:
        await make_streams(broker.url, people.seed("deploy"))
        async with (
            Bus.connect(broker.url, people.seed("trainer"), name="trainer") as bus,
            subscribed(broker.url, people.seed("observer").file) as process,
        ):
            assert process.stdout is not None
            first = asyncio.ensure_future(process.stdout.readline())
            while not first.done():  # nobody tells when it has subscribed
                await bus.publish(MODEL_READY, ready("mv-1"), msg_id="mv-1")
                await asyncio.wait([first], timeout=0.1)
            for version_id in ("mv-1", "mv-2", "mv-2", "mv-3"):
                await bus.publish(MODEL_READY, ready(version_id), msg_id=version_id)
            lines = [await first, *[await process.stdout.readline() for _ in range(2)]]

    assert [line.decode().strip() for line in lines] == [
        f"mv-{number} openvino-int8 sha256:4c1f {{'accuracy': 0.87}}" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NATS_NKEY_SEED_FILE": "seed.nk"}, "set NATS_URL"),
        ({"NATS_URL": "nats://127.0.0.1:4222", "NATS_NKEY_SEED_FILE": "sed.nk"}, "sed.nk"),
        ({"NATS_URL": "nats://127.0.0.1:4222", "NATS_NKEY_SEED_FILE": "typo.nk"}, "seed"),
        ({"NATS_URL": "localhost:80800", "NATS_NKEY_SEED_FILE": "seed.nk"}, "check NATS_URL"),
    ],
)
def test_a_typo_is_one_line_with_the_remedy(tmp_path: Path, variables: dict[str, str], said: str):
    people = Identities(tmp_path)
    people.ensure()
    (tmp_path / "seed.nk").write_bytes(people.seed("observer").file.read_bytes())
    (tmp_path / "typo.nk").write_text("SUxx")

    ended = subprocess.run(
        [sys.executable, SUBSCRIBER], env=variables, cwd=tmp_path, capture_output=True, text=True
    )

    assert ended.returncode == 1
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_it_is_no_more_than_25_lines_of_code():
    source = SUBSCRIBER.read_text("utf-8")
    docstring = ast.parse(source).body[0]
    lines = source.splitlines()[docstring.end_lineno :]

    assert len([line for line in lines if line.strip()]) <= 25
