"""Trainings as pages of the console show them: ordered, reported step by step, and ended."""

import json
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_RUNNING, JOB_STATUS_SUCCEEDED, JobResult
from modelmill.trainer.v1.trainer_service_pb2 import HyperParameters, TrainSpec

from tests.browser.console_charts import COLUMNS
from tests.browser.console_place import ask
from tests.browser.live_gateway import LiveGateway

DIGEST = "sha256:" + "8" * 64
SCORE = {"accuracy_tuned": {"mean": 0.7, "low": 0.6, "high": 0.8}}
MIB = 1024 * 1024
PARTS = 3


def spec_of(name: str, dataset_id: str, rate: float) -> TrainSpec:
    """What is trained of the base."""
    chosen = HyperParameters(learning_rate=rate, seed=7)
    return TrainSpec(
        name=name, base_version_id="mv-base", dataset_id=dataset_id, hyper_parameters=chosen
    )


def running_training(gateway: LiveGateway) -> str:
    """One that has reported ten steps; its id."""
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    say_steps(gateway, job_id, range(1, 11))
    return job_id


def trained(gateway: LiveGateway, spec: TrainSpec, steps: int) -> str:
    """One that has succeeded; its id."""
    job_id = gateway.submit_training(spec)
    gateway.house.trainer.figures[job_id] = [3.0 / step for step in range(1, steps + 1)]
    made = ParseDict({"digest": DIGEST, "summary": SCORE}, JobResult())
    gateway.say_state(job_id, JOB_STATUS_SUCCEEDED, result=made)
    return job_id


def say_steps(gateway: LiveGateway, job_id: str, steps: range) -> None:
    """What its worker reports of these."""
    for step in steps:
        rate = {"learning_rate": 0.001 / step, "tokens_per_second": 100.0 + step}
        gateway.say_step(job_id, step, loss=3.0 / step, **rate)
    gateway.settle()


def events_stored(gateway: LiveGateway, job_id: str) -> list[dict[str, Any]]:
    """What the API has of the job, oldest first."""
    answer = ask(gateway, gateway.token(), "GET", f"/v1/jobs/{job_id}/events?limit=100")
    data: list[dict[str, Any]] = answer["data"]
    return data[::-1]


def points_stored(gateway: LiveGateway, job_id: str) -> list[list[float]]:
    """Figures of the API, as `figures_shown` has them."""
    events = events_stored(gateway, job_id)
    reported = [each["data"] for each in events if each["type"] == "metrics"]
    return [[each[name] for name in COLUMNS] for each in reported]


def file_in_parts(folder: Path) -> Path:
    """A file of rows that is sent in three parts."""
    file = folder / "words.jsonl"
    line = json.dumps({"word": "espresso", "kind": "drink"}).encode() + b"\n"
    file.write_bytes(line * (9 * MIB // len(line)))
    return file
