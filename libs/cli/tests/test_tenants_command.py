"""`mill tenants`: what an operator says and reads, and with which credential."""

import io
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app
from modelmill_cli.gateway import connect_as_operator, local_token
from modelmill_cli.keys import LocalKeys
from modelmill_cli.state_folder import Runtime, StateFolder

LIMITS = ("requests_per_minute", "tokens_per_minute", "parallel_requests", "tokens", "money")
USAGE = {"tokens": 77, "money": "0.5", "leased_tokens": 0, "leased_money": "0", "period_start": 1}


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "services": [
        {"service": "trainer", "address": "trainer:7003", "status": "unreachable", "version": None}
    ],
    "jobs": [{"kind": "train", "counts": {"queued": 2}, "oldest_seconds": 42.0}],
    "workers": [
        {
            "worker": "trainer-gpu-1-4711\x1b[2J",
            "kind": "train",
            "job_id": "ftjob-1",
            "tenant": "acme",
            "since": 1_795_392_000,
        }
    ],
    "streams": [{"name": "JOBS", "messages": 12, "used_bytes": 5, "limit_bytes": 10}],
    "waiting_requests": 3,
    "tokens_in_hand": 12_288,
    "tokens_limit": 65_536,
}


CAPACITY: dict[str, Any] = {
    "queues": [
        {
            **{"kind": "train", "waiting": 2, "running": 1, "free_slots": 0},
            **{"expected_wait_seconds": 240.0, "unknown": None},
        },
        {
            **{"kind": "batch", "waiting": 0, "running": 0, "free_slots": None},
            **{"expected_wait_seconds": None, "unknown": "no worker\x1b[2J told"},
        },
    ],
    "processes": [
        {
            **{"service": "trainer", "address": "trainer:7003", "unknown": None},
            **{"artifact_disk_bytes": 10**12, "artifact_disk_free_bytes": 10**11},
            "worker": {
                **{"worker": "trainer-gpu-1-4711", "kinds": ["train"], "slots": 2},
                **{"busy_slots": 1, "free_slots": 1, "short_slots": 1, "busy_short_slots": 0},
                **{"cpus": 8.0, "free_cpus": 3.5, "gpus": 1, "free_gpus": 0},
                **{"memory_bytes": 32 * 10**9, "free_memory_bytes": 12 * 10**9},
            },
        },
        {
            **{"service": "data-prep", "address": "data-prep:7001", "worker": None},
            **{"artifact_disk_bytes": None, "artifact_disk_free_bytes": None},
            "unknown": "it does not answer",
        },
    ],
    "replicas": [
        {
            **{"address": "inference:7002", "memory_limit_bytes": 16 * 10**9},
            **{"memory_reserved_bytes": 9 * 10**8, "memory_room_bytes": 7 * 10**9},
            **{"max_versions": None, "unknown": None},
            "models": [
                {
                    **{"version_id": "mv-build", "engine": "openvino", "memory_bytes": 7 * 10**8},
                    **{"in_flight": 5, "max_in_flight": 64, "sequences": 4, "max_sequences": 8},
                    **{"waiting": 1, "max_waiting": 32, "tokens": 2048, "max_tokens": 16384},
                }
            ],
        }
    ],
    "streams": [{"name": "JOBS", "used_bytes": 10**6, "free_bytes": 10**9}],
    "waiting_requests": 3,
    "tokens_in_hand": 12_288,
    "tokens_limit": None,
    "unknown": ["free disk of the message broker"],
}


FINDING = {
    "object": "finding",
    "check": "stream-full",
    "severity": "warning",
    "problem": "stream JOBS is 85% full\x1b[2J",
    "remedy": "Give it more room",
}


ALERT = {
    "object": "alert",
    "name": "GatewayErrors",
    "state": "firing",
    "severity": None,
    "summary": "many errors\x1b[2J",
    "remedy": "See its log",
    "runbook_url": None,
    "since": 1_795_392_000,
    "labels": {},
}


class Terminal(io.StringIO):
    """A person who writes this."""

    def isatty(self) -> bool:
        return True


class Gateway(ThreadingHTTPServer):
    """Has one tenant, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tenant: dict[str, Any] = {
            "id": "acme",
            "object": "tenant",
            "status": "active",
            "created_at": 1_793_500_000,
            "limits": dict.fromkeys((*LIMITS, "period")) | {"tokens": 1000},
            "usage": USAGE,
        }
        self.findings: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.claims: dict[str, Any] = {}


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        if self.path.startswith("/v1/tenants?"):
            self._say({"object": "list", "data": [self.server.tenant], "has_more": False})
        elif self.path == "/v1/status":
            self._say(STATUS)
        elif self.path == "/v1/capacity":
            self._say(CAPACITY)
        elif self.path == "/v1/alerts":
            self._say({"object": "list", "data": [ALERT], "has_more": False})
        elif self.path == "/v1/findings":
            self._say({"object": "list", "data": self.server.findings, "has_more": False})
        elif self.path == "/v1/tenants/acme/export":
            self.answer(b"an archive")
        elif self.path == "/v1/tenants/acme":
            self._say(self.server.tenant)
        else:
            self.answer(b'{"error": {"message": "no tenant \'acm\'. Did you mean \'acme\'?"}}', 404)

    def do_POST(self) -> None:
        if self.path.endswith("/suspend"):
            self.server.tenant["status"] = "suspended"
        elif self.path.endswith("/resume"):
            self.server.tenant["status"] = "active"
        self._say(self.server.tenant)

    def do_DELETE(self) -> None:
        if self.server.tenant["status"] != "deleted":
            self.server.tenant |= {"status": "deleted", "removed": {"files": 3, "jobs": 5}}
            self._say(self.server.tenant | {"status": "deleting"})
            return
        self._say(self.server.tenant)

    def do_PUT(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["content-length"])))["limits"]
        self.server.tenant["limits"] = dict.fromkeys((*LIMITS, "period")) | said
        self._say(self.server.tenant)

    def _say(self, answer: dict[str, Any]) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        token = self.headers["authorization"].removeprefix("Bearer ")
        if token != "token":
            self.server.claims = jwt.decode(token, options={"verify_signature": False})
        self.answer(json.dumps(answer).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as serving:
        yield serving


def test_tenants_are_listed_and_shown_with_limits_and_use(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["tenants", "list"]) == 0
    assert "acme" in capsys.readouterr().out
    assert run_app(["tenants", "show", "acme"]) == 0

    shown = capsys.readouterr().out
    assert "tokens 1000" in shown
    assert "77 tokens, 0.5 money" in shown


def test_json_is_the_gateways_record(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    for said in (["create", "acme"], ["show", "acme"], ["suspend", "acme"], ["list"]):
        assert run_app(["tenants", *said, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == gateway.tenant, said


def test_limits_of_a_tenant_that_are_not_named_stay(gateway: Gateway):
    assert run_app(["tenants", "limit", "acme", "--requests-per-minute", "60"]) == 0
    assert gateway.tenant["limits"]["requests_per_minute"] == 60
    assert gateway.tenant["limits"]["tokens"] == 1000

    assert run_app(["tenants", "limit", "acme"]) == 2
    assert run_app(["tenants", "limit", "acme", "--none"]) == 0
    assert not any(gateway.tenant["limits"].values())


def test_a_suspension_says_how_it_ends(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    assert run_app(["tenants", "suspend", "acme"]) == 0
    assert capsys.readouterr().out.strip() == "acme: suspended; `mill tenants resume acme`"

    assert run_app(["tenants", "resume", "acme"]) == 0
    assert gateway.tenant["status"] == "active"


def test_the_status_shows_services_jobs_and_streams(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["status"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("trainer:7003", "unreachable", "42 s", "50.0%", "0.1.0"))
    assert all(word in shown for word in ("trainer-gpu-1-4711", "ftjob-1", "12,288", "65,536"))
    assert "\x1b" not in shown

    assert run_app(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_the_capacity_shows_what_is_free_of_each_part_and_what_is_not_known(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["status", "--capacity"]) == 0
    shown = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "train 2 1 0 240 s" in lines
    assert "batch 0 0 ? ? (no worker\\u001b[2J told)" in lines
    free = "1 of 2 1 of 1 3.5 of 8 12.0 GB of 32.0 GB 0 of 1 100.0 GB"
    assert f"trainer trainer:7003 trainer-gpu-1-4711 {free}" in lines
    assert "data-prep data-prep:7001 it does not answer ?" in lines
    assert "inference:7002 900.0 MB 16.0 GB 7.0 GB 1" in lines
    assert "mv-build openvino 5 of 64 4 of 8 1 of 32 2,048 of 16,384 700.0 MB" in lines
    assert "JOBS 1.0 MB 1.0 GB" in lines
    assert "3 12,288 no limit" in lines
    assert lines[-1] == "not known: free disk of the message broker"

    assert run_app(["status", "--capacity", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == CAPACITY


def test_what_the_gateway_finds_is_told_with_its_remedy_and_ends_with_1(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["doctor", "--gateway"]) == 0
    assert "0 problems" in capsys.readouterr().out

    gateway.findings = [FINDING]
    assert run_app(["doctor", "--gateway"]) == 1
    problem, remedy, many = capsys.readouterr().out.splitlines()
    assert problem == "warning stream-full: stream JOBS is 85% full\\u001b[2J"
    assert (remedy, many.split(";")[0]) == ("  Give it more room", "1 problem")
    assert run_app(["doctor", "--gateway", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == FINDING
    assert run_app(["doctor", "--gateway", "--pod"]) == 2


def test_alerts_are_listed_with_what_to_do(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    assert run_app(["alerts"]) == 0
    shown = capsys.readouterr().out
    wanted = ("firing", "GatewayErrors", "2026-11-23", "many errors", "See its log")
    assert all(word in shown for word in wanted)
    assert "\x1b" not in shown

    assert run_app(["alerts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ALERT


def test_an_export_is_written_whole_beside_nothing_that_is_there(
    gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "acme.tar"
    assert run_app(["tenants", "export", "acme", str(file)]) == 0
    assert (capsys.readouterr().out.strip(), file.read_bytes()) == (str(file), b"an archive")

    assert run_app(["tenants", "export", "acme", str(file)]) == 2
    assert "Name another one" in capsys.readouterr().err
    other = tmp_path / "other.tar"
    assert run_app(["tenants", "export", "acm", str(other)]) == 2
    assert not other.exists()


def test_an_export_without_a_file_is_named_after_the_tenant(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert run_app(["tenants", "export", "acme"]) == 0
    assert (tmp_path / "acme.tar").read_bytes() == b"an archive"


def test_a_deletion_is_confirmed_by_name_or_by_yes(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert run_app(["tenants", "delete", "acme"]) == 2
    assert "Say --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("acm\n"))
    assert run_app(["tenants", "delete", "acme"]) == 2
    assert "'acm' is not 'acme'. Nothing was deleted" in capsys.readouterr().err
    assert gateway.tenant["status"] == "active"

    monkeypatch.setattr("sys.stdin", Terminal("acme\n"))
    assert run_app(["tenants", "delete", "acme"]) == 0
    assert gateway.tenant["status"] == "deleted"


def test_a_deletion_ends_with_what_was_removed_and_a_repeat_says_so(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["tenants", "delete", "acme", "--yes"]) == 0
    assert capsys.readouterr().out.split() == ["acme:", "deleted", "files", "3", "jobs", "5"]

    assert run_app(["tenants", "delete", "acme"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "acme: already deleted"
    assert run_app(["tenants", "delete", "acme", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == {"files": 3, "jobs": 5}


def test_an_unknown_tenant_is_one_line(gateway: Gateway, capsys: pytest.CaptureFixture[str]):
    assert run_app(["tenants", "show", "acm"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "Did you mean 'acme'?" in line


def test_this_machines_operator_has_a_credential_of_its_own(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    state = StateFolder(tmp_path)
    state.keys.mkdir()
    LocalKeys(state.keys).ensure()
    monkeypatch.delenv("MODELMILL_URL")
    url = f"http://127.0.0.1:{gateway.server_port}"
    runtime = Runtime(1, url, "", "", "", "", {}, {}, {})
    monkeypatch.setattr(StateFolder, "read_runtime", lambda _: runtime)
    with connect_as_operator(state) as client:
        client.tenants.retrieve("acme")

    assert (gateway.claims["tenant"], gateway.claims["scope"]) == ("operators", "operator")
    usual = jwt.decode(local_token(state), options={"verify_signature": False})
    assert "operator" not in usual["scope"].split()


def test_a_token_has_the_scope_of_operators_only_when_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run_app(["keys", "new", str(tmp_path / "keys")]) == 0
    scopes = []
    for asked in ([], ["--scope", "operator"]):
        capsys.readouterr()
        assert run_app(["token", "--keys", str(tmp_path / "keys"), *asked]) == 0
        token = capsys.readouterr().out.strip()
        scopes.append(jwt.decode(token, options={"verify_signature": False})["scope"].split())

    assert ("operator" in scopes[0], scopes[1]) == (False, ["operator"])
