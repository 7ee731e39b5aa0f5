"""Ctrl-C and kill at any moment: no process stays, no traceback, and what was accepted is there."""

import json
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.ports import free_port

from tests.bad_input.mill import StartedMill, processes_on, wait_for, wait_until_gone

pytestmark = pytest.mark.timeout(300)

SEED = 7
ATTEMPTS = (
    (signal.SIGINT,),
    (signal.SIGTERM,),
    (signal.SIGINT, signal.SIGINT),
    (signal.SIGINT,),
    (signal.SIGTERM, signal.SIGINT),
    (signal.SIGINT,),
)
CLEAN = (0, 130, -signal.SIGINT, -signal.SIGTERM)
"""Ended as desired once ready, stopped on the way up, or ended before there was anything to
undo."""
ROW = {"word": "oak", "gloss": "a tree", "label": "plant"}
MAPPING = {"user_template": "{word}: {gloss}", "answer_template": "{label}", "system_template": ""}


def start(state: Path) -> StartedMill:
    return StartedMill(state, "up", "--http-port", str(free_port()))


def accept_something(up: StartedMill, tmp_path: Path) -> tuple[str, str]:
    """A file and a job that the system has said yes to."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(ROW | {"word": f"oak {n}"}) + "\n" for n in range(20)))
    with up.client() as client:
        file_id = client.files.upload(rows)["id"]
        made = client.datasets.create(file_id=file_id, name="kinds", mapping=MAPPING)
        return file_id, made["job_id"]


def started_since(state: Path, orphans: list[psutil.Process]) -> list[psutil.Process]:
    """What works on the folder, besides the orphans and what these may still start."""
    found = [process for process in processes_on(state) if process not in orphans]
    return [process for process in found if not set(parents_of(process)) & set(orphans)]


def parents_of(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.NoSuchProcess:
        return []


def test_wherever_a_start_is_interrupted_the_next_one_finds_all_that_was_accepted(tmp_path):
    state = tmp_path / "state"
    began = time.monotonic()
    up = start(state)
    up.wait_for_line("ready:")
    start_seconds = time.monotonic() - began
    file_id, job_id = accept_something(up, tmp_path)
    up.process.kill()
    up.process.wait()
    # They find out by themselves, while the next ones are starting.
    orphans = processes_on(state)

    chosen = random.Random(SEED)
    for number, signals in enumerate(ATTEMPTS):
        part = (number + chosen.random()) / len(ATTEMPTS)
        interrupted = start(state)
        time.sleep(part * start_seconds)
        status = interrupted.signal_until_ended(*signals)
        assert status in CLEAN, (part, status, interrupted.log)
        assert "Traceback" not in interrupted.log, (part, interrupted.log)
        wait_for(lambda: not started_since(state, orphans))
    wait_until_gone(state)

    up = start(state)
    up.wait_for_line("ready:")
    with up.client() as client:
        assert file_id in [file["id"] for file in client.files.list()]
        deadline = time.monotonic() + 60
        while (job := client.jobs.retrieve(job_id))["status"] != "succeeded":
            assert job["status"] in ("queued", "running"), job
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
    assert up.signal_until_ended(signal.SIGINT) == 0
    assert processes_on(state) == []


@pytest.mark.parametrize("part", ["starting on", "READY"])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(tmp_path, part):
    state = tmp_path / "state"
    demo = StartedMill(state, "demo", "--http-port", str(free_port()))
    demo.wait_for_line("starting NATS")
    if part == "READY":
        wait_for((state / "up.log").exists)
        wait_for(lambda: "Server is ready" in (state / "up.log").read_text())
    assert demo.signal_until_ended(signal.SIGINT, signal.SIGINT) == 130, demo.log
    assert "Traceback" not in demo.log
    assert demo.log.splitlines()[-1].startswith("stopping")
    assert processes_on(state) == []


def test_an_import_that_is_interrupted_stores_nothing_and_can_be_repeated(
    stack: StartedMill, tmp_path
):
    folder = make_tiny_llama(tmp_path / "model")
    size = 3 << 30
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / "big.safetensors").open("wb") as weights:
        weights.write(len(header).to_bytes(8, "little") + header)
        weights.truncate(8 + len(header) + size)
    staging = stack.state.artifacts / "staging"
    manifests = sorted(os.listdir(stack.state.artifacts / "manifests"))

    started = StartedMill(stack.state.path, "models", "import", str(folder))
    wait_for(lambda: any(staging.iterdir()))
    assert started.signal_until_ended(signal.SIGINT) == 130

    assert started.log.splitlines() == ["stopping; nothing was imported"]
    assert sorted(os.listdir(stack.state.artifacts / "manifests")) == manifests
    assert list(staging.iterdir()) == []
    (folder / "big.safetensors").unlink()
    repeated = StartedMill(stack.state.path, "models", "import", str(folder), "--name", "again")
    assert repeated.process.wait(60) == 0, repeated.log
