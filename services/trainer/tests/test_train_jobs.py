"""Divided runs as TrainJobs: the manifest by the schema of its CRD, and a real HTTP server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from modelmill_jobs.child import ChildFailure
from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.launching.kubernetes import KubernetesLauncher
from modelmill_trainer.launching.launcher import Launch
from modelmill_trainer.launching.train_job import KubernetesError, TrainJobs, how_ended, train_job

CRD = Path(__file__).parent / "support" / "kubeflow" / "trainer.kubeflow.org_trainjobs.yaml"
PATH = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/mills/trainjobs"
TOKEN = "a service account's"


def cluster(**changes: Any) -> KubernetesCluster:
    given: dict[str, Any] = {
        "address": "http://127.0.0.1:1",
        "namespace": "mills",
        "token_file": "",
        "ca_file": "",
        "runtime": "torch-distributed",
        "image": "mill/trainer:1",
        "claim": "mill",
        "mount": "/mill",
        "ranks_per_node": 4,
        "rank_cpus": 2,
        "rank_memory_bytes": 10**9,
    }
    return KubernetesCluster(**given | changes)


def strict(schema: Any) -> Any:
    """An API server drops fields that a schema does not have; here they are errors."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    [version] = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    return Draft202012Validator(strict(version["schema"]["openAPIV3Schema"]))


class ApiServer(ThreadingHTTPServer):
    """The part of an API server that keeps TrainJobs."""

    def __init__(self, schema: Draft202012Validator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.schema = schema
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.token = TOKEN
        self.broken = False


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_POST(self) -> None:
        self._checked(self._create)

    def do_GET(self) -> None:
        self._checked(self._read)

    def do_DELETE(self) -> None:
        self._checked(self._delete)

    def _checked(self, answer: Any) -> None:
        self.server.asked.append(self.command)
        if self.server.broken:
            self._say(503, {"message": "etcdserver: request timed out"})
        elif self.headers["Authorization"] != f"Bearer {self.server.token}":
            self._say(401, {"kind": "Status", "message": "Unauthorized"})
        else:
            answer()

    def _create(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        errors = [error.message for error in self.server.schema.iter_errors(job)]
        name = job["metadata"]["name"]
        if self.path != PATH or errors:
            self._say(422, {"message": "; ".join(errors) or self.path})
        elif name in self.server.jobs:
            self._say(409, {"message": "already exists"})
        else:
            self.server.jobs[name] = job
            self._say(201, job)

    def _read(self) -> None:
        job = self.server.jobs.get(self.path.removeprefix(f"{PATH}/"))
        self._say(200 if job else 404, job or {"message": "not found"})

    def _delete(self) -> None:
        options = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert options["propagationPolicy"] == "Background"
        job = self.server.jobs.pop(self.path.removeprefix(f"{PATH}/"), None)
        self._say(200 if job else 404, job or {"message": "not found"})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(schema: Draft202012Validator) -> Iterator[ApiServer]:
    with ApiServer(schema) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def reachable(server: ApiServer, tmp_path: Path) -> KubernetesCluster:
    (tmp_path / "token").write_text(TOKEN + "\n")
    address = f"http://127.0.0.1:{server.server_port}"
    return cluster(address=address, token_file=str(tmp_path / "token"))


@given(ranks=st.integers(1, 64), each=st.integers(1, 8))
def test_the_manifest_satisfies_the_crd_and_has_every_rank_once(
    schema: Draft202012Validator, ranks: int, each: int
) -> None:
    job = train_job("mill-1", cluster(ranks_per_node=each), ranks=ranks, channel="/mill/links")

    assert list(schema.iter_errors(job)) == []
    trainer = job["spec"]["trainer"]
    assert trainer["numNodes"] * trainer["numProcPerNode"] == ranks
    assert trainer["numProcPerNode"] <= each
    memory = int(trainer["resourcesPerNode"]["requests"]["memory"])
    assert memory * trainer["numNodes"] == ranks * 10**9
    assert job["spec"]["runtimeRef"]["name"] == "torch-distributed"


def test_the_check_by_the_schema_notices_a_misspelled_field(schema: Draft202012Validator) -> None:
    job = train_job("mill-1", cluster(), ranks=2, channel="/mill/links")
    job["spec"]["trainer"]["numProcsPerNode"] = job["spec"]["trainer"].pop("numProcPerNode")

    assert "numProcsPerNode" in " ".join(error.message for error in schema.iter_errors(job))


def test_a_job_is_created_once_read_and_deleted(
    server: ApiServer, reachable: KubernetesCluster
) -> None:
    jobs = TrainJobs(reachable)
    manifest = train_job("mill-1", reachable, ranks=2, channel="/mill/links")

    jobs.create(manifest)
    jobs.create(manifest)
    assert jobs.read("mill-1") == manifest
    jobs.delete("mill-1")
    jobs.delete("mill-1")

    assert jobs.read("mill-1") is None
    assert server.jobs == {}


def test_an_api_server_error_is_reported_verbatim(
    server: ApiServer, reachable: KubernetesCluster
) -> None:
    jobs = TrainJobs(reachable)
    manifest = train_job("mill-1", reachable, ranks=2, channel="/mill/links")
    manifest["spec"].pop("runtimeRef")
    with pytest.raises(KubernetesError, match="422: 'runtimeRef' is a required property"):
        jobs.create(manifest)

    server.token = "renewed"
    with pytest.raises(KubernetesError, match="401: Unauthorized"):
        jobs.read("mill-1")
    Path(reachable.token_file).write_text("renewed")
    assert jobs.read("mill-1") is None


def test_an_unreachable_api_server_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)

    with pytest.raises(KubernetesError, match="does not answer") as failed:
        TrainJobs(cluster(token_file=str(tmp_path / "token"))).read("mill-1")

    assert failed.value.status == 0


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_a_job_has_ended_when_its_condition_says_so(kind: str) -> None:
    job: dict[str, Any] = {"metadata": {"name": "mill-1"}, "status": {}}
    assert how_ended(job) is None
    condition = {"type": kind, "status": "False", "reason": "Because", "message": "of it"}
    job["status"]["conditions"] = [{**condition, "type": "Suspended"}, condition]
    assert how_ended(job) is None

    condition["status"] = "True"

    assert how_ended(job) == f"TrainJob mill-1 is {kind.lower()}: of it"


def test_the_trainjob_exists_exactly_as_long_as_the_run(
    server: ApiServer, reachable: KubernetesCluster, tmp_path: Path
) -> None:
    def run() -> None:
        launch = Launch({"threads": 0}, Distribution(ranks=2), tmp_path)
        with KubernetesLauncher(reachable).started(launch) as ranks:
            [job] = server.jobs.values()
            assert job["spec"]["trainer"]["env"][0]["value"] == str(tmp_path / "links")
            assert ranks.end_reason() is None
            assert ranks.connected == []
            raise ChildFailure("BAD_ROWS", "a rank has refused")

    with pytest.raises(ChildFailure):
        run()

    assert server.jobs == {}


def test_a_deleted_job_has_ended_but_not_one_whose_api_server_is_unreachable(
    server: ApiServer, reachable: KubernetesCluster, tmp_path: Path
) -> None:
    launch = Launch({"threads": 0}, Distribution(ranks=2), tmp_path)
    with KubernetesLauncher(reachable).started(launch) as ranks:
        server.broken = True
        assert ranks.end_reason() is None
        ranks._next_poll = 0.0
        server.broken = False
        server.jobs.clear()

        assert "is gone" in (ranks.end_reason() or "")
