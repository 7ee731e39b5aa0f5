"""What becomes the default model when one is imported: the source at once, then its build."""

import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.default_model import make_default
from modelmill_cli.gateway import DEFAULT_MODEL, connect
from modelmill_cli.state_folder import StateFolder

SOURCE, BUILD = "mv-source", "mv-build"


class Gateway(ThreadingHTTPServer):
    """Has one model, builds it where it may, and serves the build from then on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusal = ""
        self.job_ends = "succeeded"
        self.is_built = False
        self.served: list[str] = []
        self.orders: list[Any] = []

    @property
    def job(self) -> dict[str, Any]:
        error = {"reason": "NOT_BUILDABLE", "message": "no form knows it"}
        ended = {"status": self.job_ends, "result": {"version_id": BUILD}}
        failed = {"status": self.job_ends, "result": None, "error": error}
        fields = {"id": "job-1", "kind": "optimize", "error": None, "desired_state": "run"}
        return {**fields, "spec": {}, **(ended if self.job_ends == "succeeded" else failed)}


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        build = {"id": BUILD, "parent_version_id": SOURCE}
        if self.path.endswith("/events"):
            told = f"data: {json.dumps({'data': {'status': self.server.job_ends}})}\n\n"
            self.answer(told.encode())
        elif self.path.partition("?")[0] == "/v1/models":
            trained = {"id": "mv-trained", "parent_version_id": SOURCE}  # it is no build
            self.answer(json.dumps({"object": "list", "data": [{"id": SOURCE}, trained]}).encode())
        else:
            self.answer(json.dumps(build if BUILD in self.path else self.server.job).encode())

    def do_POST(self) -> None:
        self.server.orders.append(self._body())
        if self.server.refusal:
            said = {"error": {"message": self.server.refusal, "code": "permission_denied"}}
            self.answer(json.dumps(said).encode(), 403)
            return
        self.server.is_built = self.server.job_ends == "succeeded"
        self.answer(b'{"id": "job-1", "status": "queued"}')

    def do_PUT(self) -> None:
        asked = self._body()["version_id"]
        self.server.served.append(BUILD if self.server.is_built else asked)
        moved = {"name": self.path.rpartition("/")[2], "version_id": self.server.served[-1]}
        self.answer(json.dumps(moved).encode())

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["content-length"])))


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


def make(state: StateFolder, *, build: bool = True) -> None:
    with connect(state) as client:
        make_default(client, SOURCE, build=build, as_json=False)


@pytest.fixture
def state(tmp_path: Any) -> StateFolder:
    return StateFolder(tmp_path / "state")


def test_the_source_answers_at_once_and_its_build_once_it_is_made(
    gateway: Gateway, state: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    make(state)

    assert gateway.served == [SOURCE, BUILD]
    assert gateway.orders == [{"model": SOURCE}]
    said = capsys.readouterr().out
    assert said.index(f"{DEFAULT_MODEL} -> {SOURCE}") < said.index(f"{DEFAULT_MODEL} -> {BUILD}")


def test_a_version_whose_build_serves_is_not_built_again(
    gateway: Gateway, state: StateFolder
) -> None:
    gateway.is_built = True

    make(state)

    assert (gateway.served, gateway.orders) == ([BUILD], [])


def test_who_wants_no_build_gets_none(gateway: Gateway, state: StateFolder) -> None:
    make(state, build=False)

    assert (gateway.served, gateway.orders) == ([SOURCE], [])


@pytest.mark.parametrize(
    ("refusal", "job_ends", "words"),
    [("may not order jobs", "succeeded", "may not order"), ("", "failed", "no form knows it")],
)
def test_what_cannot_be_built_stays_the_default_as_it_is_and_is_told_why(
    gateway: Gateway,
    state: StateFolder,
    capsys: pytest.CaptureFixture[str],
    refusal: str,
    job_ends: str,
    words: str,
) -> None:
    gateway.refusal, gateway.job_ends = refusal, job_ends

    make(state)

    assert gateway.served == [SOURCE]
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "as it was" in each]
    assert words in line
