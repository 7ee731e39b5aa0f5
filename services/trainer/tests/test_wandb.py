"""An offline run is in W&B's own file, as `wandb sync` sends it."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modelmill_jobs.progress import Report
from modelmill_testkit.waiting import eventually
from modelmill_trainer.settings import Settings
from modelmill_trainer.tracking.tracker import (
    RunEnd,
    TrackedRunInfo,
    TrackerPatience,
    tracked_run,
)
from modelmill_trainer.tracking.wandb import WeightsAndBiases
from pydantic import ValidationError
from wandb.proto.wandb_internal_pb2 import Record

FACTS = TrackedRunInfo("ftjob-1", "acme", "kinds", 1, {"method": "lora"}, {"base": "sha256:aa"})
pytestmark = pytest.mark.tier("test")
BLOCK, HEADER = 32_768, struct.Struct("<IHB")
FULL, LAST = 1, 4
PATIENT = TrackerPatience(close_seconds=200.0)
"""W&B starts a process, which takes its time on a busy machine."""


def records(folder: Path) -> Iterator[Any]:
    """What the only run says: a log as LevelDB writes it, of records, behind W&B's 7 bytes."""
    [file] = folder.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    at, parts = 7, b""
    while at + HEADER.size <= len(content):
        if BLOCK - at % BLOCK < HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = HEADER.unpack_from(content, at)
        at += HEADER.size + length
        parts += content[at - length : at]
        if kind in (FULL, LAST):
            yield Record.FromString(parts)
            parts = b""


async def exit_codes(folder: Path) -> list[int]:
    """Codes with which the only run ended: W&B may say that a run is done before its file does."""

    async def written() -> list[int]:
        return [each.exit.exit_code for each in records(folder) if each.HasField("exit")]

    return await eventually(written)


async def track(folder: Path, ending: RunEnd, patience: TrackerPatience = PATIENT) -> list[str]:
    tracker = WeightsAndBiases("demo", folder)
    async with tracked_run([tracker], FACTS, patience) as run:
        for number in range(1, 4):
            run.add(Report("train", number, metrics={"loss": 1 / number}))
        await run.finish(ending)
    return run.warnings


async def test_an_offline_run_has_choices_steps_and_what_it_came_to(tmp_path: Path):
    assert await track(tmp_path, RunEnd("finished", {"accuracy": 0.9}, "sha256:cc")) == []

    assert await exit_codes(tmp_path) == [0]
    found = list(records(tmp_path))
    run = next(each.run for each in found if each.WhichOneof("record_type") == "run")
    assert (run.run_id, run.display_name, run.project) == ("ftjob-1", "kinds", "demo")
    config = {each.key: json.loads(each.value_json) for each in run.config.update}
    assert config["method"] == "lora"
    assert config["modelmill.base"] == "sha256:aa"
    steps = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in each.history.item}
        for each in found
        if each.WhichOneof("record_type") == "history"
    ]
    assert [(step["_step"], step["train/loss"]) for step in steps] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
    ]
    said = {
        item.key or item.nested_key[0]: json.loads(item.value_json)
        for each in found
        if each.WhichOneof("record_type") == "summary"
        for item in each.summary.update
    }
    assert (said["accuracy"], said["modelmill.digest"]) == (0.9, "sha256:cc")


async def test_nothing_of_the_machine_is_in_a_run(tmp_path: Path):
    await track(tmp_path, RunEnd("finished"))

    await exit_codes(tmp_path)
    kinds = {each.WhichOneof("record_type") for each in records(tmp_path)}
    assert not kinds & {"stats", "output", "output_raw", "environment"}


async def test_a_failed_run_is_a_failed_one_there(tmp_path: Path):
    assert await track(tmp_path, RunEnd("failed")) == []

    assert await exit_codes(tmp_path) == [1]


async def test_a_folder_that_cannot_be_written_is_a_warning_and_no_failure(tmp_path: Path):
    (file := tmp_path / "file").write_text("")

    [warning] = await track(file, RunEnd("finished"), TrackerPatience(close_seconds=1.0))
    assert warning.startswith("wandb is incomplete, 3 steps are missing")


def test_a_project_needs_a_folder(tmp_path: Path):
    given: dict[str, Any] = {
        **{"nats_url": "nats://127.0.0.1:1", "nats_token": "t", "service_secret": "s" * 20},
        **{"artifact_root": str(tmp_path), "work_root": tmp_path},
    }
    Settings(**given)

    with pytest.raises(ValidationError, match="TRAINER_WANDB_PROJECT needs TRAINER_WANDB_FOLDER"):
        Settings(**given, wandb_project="demo")
