"""Runs reach MLflow; whatever becomes of that, the run goes on."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from modelmill_jobs.errors import JobFailed
from modelmill_jobs.progress import Report
from modelmill_testkit.ports import free_port
from modelmill_testkit.waiting import eventually
from modelmill_trainer.tracking.mlflow import Mlflow
from modelmill_trainer.tracking.tracker import RunEnd, TrackedRunInfo, TrackerPatience, tracked_run
from prometheus_client import REGISTRY

from .support.mlflow_server import MlflowServer

FACTS = TrackedRunInfo(
    job_id="ftjob-1",
    tenant="acme",
    name="kinds",
    attempt=1,
    choices={"learning_rate": 0.01, "method": "lora"},
    made_from={"base": "sha256:aa"},
)

PATIENCE = TrackerPatience(retry_seconds=(0.01,), interval_seconds=0.01, close_seconds=60.0)
"""Pauses in hundredths of a second; a server that answers may take its time."""


@pytest.fixture
def server() -> Iterator[MlflowServer]:
    with MlflowServer() as started:
        threading.Thread(target=started.serve_forever, args=(0.01,), daemon=True).start()
        yield started
        started.shutdown()


def step(number: int, **figures: float) -> Report:
    return Report("train", number, metrics={"loss": 1 / number} | figures)


async def track(
    url: str,
    steps: range,
    ending: RunEnd | None,
    patience: TrackerPatience = PATIENCE,
    **facts: Any,
) -> list[str]:
    """One attempt of a run; interrupted when it has no ending. What trackers missed."""
    asked = TrackedRunInfo(**vars(FACTS) | facts)
    async with httpx.AsyncClient(base_url=url) as client:
        try:
            async with tracked_run([Mlflow(client, "demo")], asked, patience) as run:
                for number in steps:
                    run.add(step(number))
                if ending is None:
                    raise ConnectionResetError
                await run.finish(ending)
        except ConnectionResetError:
            pass
    return run.warnings


async def test_mlflow_gets_parameters_steps_metrics_and_artifact(
    server: MlflowServer,
) -> None:
    ending = RunEnd("finished", {"accuracy": 0.9, "broken": float("nan")}, "sha256:cc")

    assert await track(server.url, range(1, 1501), ending) == []

    [run] = server.runs.values()
    assert (run["name"], run["status"]) == ("kinds", "FINISHED")
    assert run["end_time"] > 0
    assert run["params"] == {"learning_rate": "0.01", "method": "lora"}
    assert run["tags"]["modelmill.job_id"] == "ftjob-1"
    assert run["tags"]["modelmill.base"] == "sha256:aa"
    assert run["tags"]["modelmill.digest"] == "sha256:cc"
    assert run["metrics"]["loss"] == [(number, 1 / number) for number in range(1, 1501)]
    assert run["metrics"]["accuracy"] == [(1500, 0.9)]
    assert "broken" not in run["metrics"]


async def test_another_attempt_continues_the_same_run(server: MlflowServer) -> None:
    await track(server.url, range(1, 4), None)
    assert [run["status"] for run in server.runs.values()] == ["RUNNING"]

    await track(server.url, range(4, 6), RunEnd("finished"), attempt=2)
    await track(server.url, range(1, 3), RunEnd("finished"), job_id="ftjob-2")

    first, second = server.runs.values()
    assert first["status"] == "FINISHED"
    assert [at for at, _ in first["metrics"]["loss"]] == [1, 2, 3, 4, 5]
    assert second["tags"]["modelmill.job_id"] == "ftjob-2"


async def test_a_temporarily_unreachable_server_misses_nothing(server: MlflowServer) -> None:
    before = failures()
    server.refusals = 5

    assert await track(server.url, range(1, 4), RunEnd("finished")) == []

    [run] = server.runs.values()
    assert [at for at, _ in run["metrics"]["loss"]] == [1, 2, 3]
    assert failures() == before + 5


async def test_an_unreachable_server_gives_a_warning_and_no_delay() -> None:
    patience = replace(PATIENCE, close_seconds=0.1)
    secret = f"http://user:hidden@127.0.0.1:{free_port()}"

    before = failures()

    async with (
        httpx.AsyncClient(base_url=secret) as client,
        tracked_run([Mlflow(client, "demo")], FACTS, patience) as run,
    ):
        for number in range(1, 4):
            run.add(step(number))
        await eventually(lambda: failures() > before)
        await asyncio.wait_for(run.finish(RunEnd("finished")), 30)

    [warning] = run.warnings
    assert "mlflow is incomplete, 3 steps are missing" in warning
    assert "ConnectError" in warning
    assert "hidden" not in warning


async def test_a_response_that_is_not_mlflows_gives_a_warning(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "answer", lambda *_: (200, {"welcome": "portal"}))
    patience = replace(PATIENCE, close_seconds=0.2)

    [warning] = await track(server.url, range(1, 2), RunEnd("finished"), patience)

    assert "1 steps are missing" in warning


async def test_a_failed_job_is_a_failed_run(server: MlflowServer) -> None:
    async def fail(client: httpx.AsyncClient) -> None:
        async with tracked_run([Mlflow(client, "demo")], FACTS, PATIENCE) as run:
            run.add(step(1))
            raise JobFailed("DIVERGED", "no number", "Lower the rate.")

    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(JobFailed):
            await fail(client)

    assert [run["status"] for run in server.runs.values()] == ["FAILED"]


async def test_an_unreachable_tracker_has_a_bounded_buffer() -> None:
    patience = replace(PATIENCE, max_waiting=10, close_seconds=0.05)
    away = f"http://127.0.0.1:{free_port()}"

    [warning] = await track(away, range(1, 1001), RunEnd("finished"), patience)

    assert "1000 steps are missing" in warning


def failures() -> float:
    labels = {"tracker": "mlflow"}
    return REGISTRY.get_sample_value("modelmill_tracking_failures_total", labels) or 0.0
