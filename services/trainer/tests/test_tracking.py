"""Runs reach MLflow and TensorBoard; whatever these do, the run goes on."""

import asyncio
import json
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from jobs.errors import JobFailed
from jobs.progress import Report
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from prometheus_client import REGISTRY
from testkit.ports import free_port
from trainer.tracking import tracker as tracker_module
from trainer.tracking.mlflow import Mlflow
from trainer.tracking.tensorboard import TensorBoard, _masked, record
from trainer.tracking.tracker import Ending, RunFacts, TrackingError, tracked_run

FACTS = RunFacts(
    job_id="ftjob-1",
    tenant="acme",
    name="kinds",
    attempt=1,
    choices={"learning_rate": 0.01, "method": "lora"},
    made_from={"base": "sha256:aa"},
)


class MlflowServer(ThreadingHTTPServer):
    """Speaks what a run needs of MLflow's HTTP API, and keeps its limits."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.refusals = 0
        """So many calls are answered with 503 first."""
        self.tokens: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusals:
            self.refusals -= 1
            return 503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": ""}
        name = method.replace("/", "_").replace("-", "_")
        answer: tuple[int, dict[str, Any]] = getattr(self, name)(**asked)
        return answer

    def experiments_get_by_name(self, experiment_name: str) -> tuple[int, dict[str, Any]]:
        if experiment_name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": ""}
        return 200, {"experiment": {"experiment_id": self.experiments[experiment_name]}}

    def experiments_create(self, name: str) -> tuple[int, dict[str, Any]]:
        if name in self.experiments:
            return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": ""}
        self.experiments[name] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[name]}

    def runs_search(
        self, experiment_ids: list[str], filter: str, max_results: int
    ) -> tuple[int, dict[str, Any]]:
        key, value = filter.removeprefix("tags.`").split("` = ")
        found = [
            {"info": {"run_id": run_id}}
            for run_id, run in self.runs.items()
            if run["tags"].get(key) == value.strip("'") and run["experiment_id"] in experiment_ids
        ]
        return 200, {"runs": found[:max_results]} if found else {}

    def runs_create(
        self, experiment_id: str, run_name: str, start_time: int, tags: list[dict[str, str]]
    ) -> tuple[int, dict[str, Any]]:
        run_id = f"run{len(self.runs) + 1}"
        self.runs[run_id] = {
            "experiment_id": experiment_id,
            "name": run_name,
            "status": "RUNNING",
            "tags": {tag["key"]: tag["value"] for tag in tags},
            "params": {},
            "metrics": defaultdict(list),
        }
        return 200, {"run": {"info": {"run_id": run_id}}}

    def runs_log_batch(
        self,
        run_id: str,
        metrics: list[dict[str, Any]] = [],  # noqa: B006 - only read
        params: list[dict[str, str]] = [],  # noqa: B006
    ) -> tuple[int, dict[str, Any]]:
        if len(metrics) > 1000 or len(params) > 100:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "too many"}
        run = self.runs[run_id]
        for param in params:
            if run["params"].setdefault(param["key"], param["value"]) != param["value"]:
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "changed"}
        for metric in metrics:
            run["metrics"][metric["key"]].append((metric["step"], metric["value"]))
        return 200, {}

    def runs_set_tag(self, run_id: str, key: str, value: str) -> tuple[int, dict[str, Any]]:
        self.runs[run_id]["tags"][key] = value
        return 200, {}

    def runs_update(
        self, run_id: str, status: str, end_time: int = 0
    ) -> tuple[int, dict[str, Any]]:
        self.runs[run_id] |= {"status": status, "end_time": end_time}
        return 200, {"run_info": {}}


class _Handler(BaseHTTPRequestHandler):
    server: MlflowServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._answer({name: values[0] for name, values in query.items()})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        # As MLflow's: NaN is no JSON.
        self._answer(json.loads(content, parse_constant=lambda name: 1 / 0))

    def _answer(self, asked: dict[str, Any]) -> None:
        self.server.tokens.add(self.headers.get("authorization", ""))
        method = urlsplit(self.path).path.removeprefix("/api/2.0/mlflow/")
        status, body = self.server.answer(method, asked)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[MlflowServer]:
    with MlflowServer() as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield started
        started.shutdown()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(tracker_module, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 5.0)


def step(number: int, **figures: float) -> Report:
    return Report("train", number, metrics={"loss": 1 / number} | figures)


async def track(url: str, steps: range, ending: Ending | None, **facts: Any) -> list[str]:
    """One attempt of a run; interrupted when it has no ending. What trackers missed."""
    asked = RunFacts(**vars(FACTS) | facts)
    async with httpx.AsyncClient(base_url=url) as client:
        try:
            async with tracked_run([Mlflow(client, "demo")], asked) as run:
                for number in steps:
                    run.take(step(number))
                if ending is None:
                    raise ConnectionResetError
                await run.finish(ending)
        except ConnectionResetError:
            pass
    return run.warnings


async def test_a_run_is_at_mlflow_with_its_choices_steps_figures_and_artifact(
    server: MlflowServer,
) -> None:
    ending = Ending("finished", {"accuracy": 0.9, "broken": float("nan")}, "sha256:cc")

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


async def test_another_attempt_goes_on_with_the_same_run(server: MlflowServer) -> None:
    await track(server.url, range(1, 4), None)
    assert [run["status"] for run in server.runs.values()] == ["RUNNING"]

    await track(server.url, range(4, 6), Ending("finished"), attempt=2)
    await track(server.url, range(1, 3), Ending("finished"), job_id="ftjob-2")

    first, second = server.runs.values()
    assert first["status"] == "FINISHED"
    assert [at for at, _ in first["metrics"]["loss"]] == [1, 2, 3, 4, 5]
    assert second["tags"]["modelmill.job_id"] == "ftjob-2"


async def test_a_server_that_is_away_for_a_while_misses_nothing(server: MlflowServer) -> None:
    before = failures()
    server.refusals = 5

    assert await track(server.url, range(1, 4), Ending("finished")) == []

    [run] = server.runs.values()
    assert [at for at, _ in run["metrics"]["loss"]] == [1, 2, 3]
    assert failures() == before + 5


async def test_a_server_that_stays_away_is_a_warning_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.1)
    secret = f"http://user:hidden@127.0.0.1:{free_port()}"

    [warning] = await asyncio.wait_for(track(secret, range(1, 4), Ending("finished")), 5)

    assert "mlflow has not the whole run, 3 steps are missing" in warning
    assert "ConnectError" in warning
    assert "hidden" not in warning


async def test_an_answer_that_is_no_mlflow_is_a_warning_too(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(server, "answer", lambda *_: (200, {"welcome": "portal"}))

    [warning] = await track(server.url, range(1, 2), Ending("finished"))

    assert "1 steps are missing" in warning


async def test_a_failed_job_is_a_failed_run(server: MlflowServer) -> None:
    async def fail(client: httpx.AsyncClient) -> None:
        async with tracked_run([Mlflow(client, "demo")], FACTS) as run:
            run.take(step(1))
            raise JobFailed("DIVERGED", "no number", "Lower the rate.")

    async with httpx.AsyncClient(base_url=server.url) as client:
        with pytest.raises(JobFailed):
            await fail(client)

    assert [run["status"] for run in server.runs.values()] == ["FAILED"]


async def test_a_tracker_that_is_away_for_long_costs_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_module, "MAX_WAITING", 10)
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.05)

    [warning] = await track(f"http://127.0.0.1:{free_port()}", range(1, 1001), Ending("finished"))

    assert "1000 steps are missing" in warning


def failures() -> float:
    labels = {"tracker": "mlflow"}
    return REGISTRY.get_sample_value("modelmill_tracking_failures_total", labels) or 0.0


def event_class() -> Any:
    """`tensorflow.Event`, as far as it is written, from a description of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields: dict[str, list[tuple[str, int, Any, str]]] = {
        "Value": [("tag", 1, kinds.TYPE_STRING, ""), ("simple_value", 2, kinds.TYPE_FLOAT, "")],
        "Summary": [("value", 1, kinds.TYPE_MESSAGE, ".t.Value")],
        "Event": [
            ("wall_time", 1, kinds.TYPE_DOUBLE, ""),
            ("step", 2, kinds.TYPE_INT64, ""),
            ("file_version", 3, kinds.TYPE_STRING, ""),
            ("summary", 5, kinds.TYPE_MESSAGE, ".t.Summary"),
        ],
    }
    for name, members in fields.items():
        message = file.message_type.add(name=name)
        for member, number, kind, of in members:
            many = kinds.LABEL_REPEATED if member == "value" else kinds.LABEL_OPTIONAL
            message.field.add(
                name=member, number=number, type=kind, label=many, type_name=of or None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Event"))  # type: ignore[no-untyped-call]


def events_in(path: Path) -> list[Any]:
    """The events of a file, whose checksums are looked at."""
    kind, content, events = event_class(), path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert content[: length + 16] == record(body)
        events.append(kind.FromString(body))
        content = content[length + 16 :]
    return events


def test_checksums_are_those_of_the_standard() -> None:
    def unmasked(masked: int) -> int:
        rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
        return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF

    assert unmasked(_masked(b"123456789")) == 0xE3069283
    assert unmasked(_masked(bytes(32))) == 0x8A9136AA


async def test_a_run_is_in_tensorboards_folder(tmp_path: Path) -> None:
    async with tracked_run([TensorBoard(tmp_path)], FACTS) as run:
        for number in range(1, 301):
            run.take(step(number, learning_rate=float("nan")))
        await run.finish(Ending("finished", {"accuracy": 0.5}))

    assert run.warnings == []
    [file] = (tmp_path / "ftjob-1").iterdir()
    first, *steps, last = events_in(file)
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in steps] == list(range(1, 301))
    assert [value.tag for value in steps[0].summary.value] == ["train/loss", "train/learning_rate"]
    assert steps[3].summary.value[0].simple_value == 0.25
    assert [(v.tag, v.simple_value) for v in last.summary.value] == [("run/accuracy", 0.5)]


async def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.1)
    (tmp_path / "file").write_text("")

    async with tracked_run([TensorBoard(tmp_path / "file")], FACTS) as run:
        run.take(step(1))
        await run.finish(Ending("finished"))

    assert "tensorboard has not the whole run" in run.warnings[0]
    with pytest.raises(TrackingError):
        await TensorBoard(tmp_path / "file").open(FACTS)


@pytest.mark.heavy
async def test_a_job_whose_tracker_is_dead_succeeds_with_a_warning(
    site: Any,
    toy_rows: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_module, "CLOSE_SECONDS", 0.1)
    base = await site.import_base()
    await site.add_dataset(train=toy_rows(16))
    dead = f"http://127.0.0.1:{free_port()}"
    folder = tmp_path / "events"
    async with site.serving(mlflow_url=dead, tensorboard_folder=folder):
        spec = pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")
        spec.hyper_parameters.batch_size = 8
        spec.hyper_parameters.gradient_accumulation_steps = 1
        job = await site.create(spec)
        state = await site.ended(job.job_id)

    assert state.status == JOB_STATUS_SUCCEEDED, state.error
    [warning] = state.result.summary["warnings"]
    assert "mlflow has not the whole run" in warning
    [file] = (folder / job.job_id).iterdir()
    assert [event.step for event in events_in(file)[1:3]] == [1, 2]
