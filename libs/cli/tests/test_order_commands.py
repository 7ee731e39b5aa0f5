"""Commands that order a job: what is sent, and how the job is waited for."""

import json
import re
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_cli.app import run_app

SUMMARY = {
    **{"passed": True, "protections": [], "suites": {}},
    "models": {"model": {"asked": "kinds", "version_id": "mv-1"}},
}
JOB: dict[str, Any] = {
    **{"id": "job-1", "kind": "train", "status": "succeeded", "error": None},
    **{"spec": {}, "desired_state": "run", "endpoint": "/v1/embeddings", "output_file_id": None},
    **{"error_file_id": None, "request_counts": {"total": 3, "completed": 2, "failed": 1}},
    "result": {"version_id": "mv-2", "summary": SUMMARY},
}
ORDERS = {
    "train kinds ds-1": "/v1/fine_tuning/jobs",
    "optimize kinds": "/v1/optimizations",
    "data create file-1 --layout alpaca": "/v1/datasets",
    "eval run kinds --dataset ds-1": "/v1/evaluations",
    "batch create file-1": "/v1/batches",
}


class Gateway(ThreadingHTTPServer):
    """Has whatever is asked for; orders are answered with one job, which has ended."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.job = dict(JOB)
        self.ordered: list[tuple[str, Any]] = []
        self.estimate: dict[str, Any] = {}
        self.hidden_looks = 0
        """How often the version that was made is not there yet."""


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            event = {"data": {"status": self.server.job["status"]}}
            self.answer(f"data: {json.dumps(event)}\n\n".encode())
        elif self.path.endswith("/mv-2") and self.server.hidden_looks:
            self.server.hidden_looks -= 1
            self.answer(b'{"error": {"message": "no such model"}}', 404)
        else:
            self.answer(json.dumps(self.server.job).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.ordered.append((self.path, body))
        if self.path.endswith("/estimate"):
            self.answer(json.dumps(self.server.estimate).encode())
            return
        made = {"job_id": "job-1"} if self.path == "/v1/datasets" else {}
        ordered = "ds-9" if made else "job-1"
        self.answer(json.dumps({"id": ordered, "status": "queued", **made}).encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


@pytest.mark.parametrize("words", ORDERS)
def test_without_waiting_the_id_of_what_is_made_is_said_alone(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    gateway.job["status"] = "queued"

    assert run_app([*words.split(), "--no-wait"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("ds-9\n" if words.startswith("data") else "job-1\n", "")
    assert [path for path, _ in gateway.ordered] == [ORDERS[words]]


@pytest.mark.parametrize("words", ORDERS)
def test_who_waits_gets_the_record_of_the_job_and_sees_its_steps_beside_it(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert run_app([*words.split(), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "succeeded"
    assert "job-1: succeeded" in err

    assert run_app(words.split()) == 0
    assert "job-1: succeeded" in capsys.readouterr().out


def test_what_was_made_is_there_for_the_next_command(gateway: Gateway) -> None:
    gateway.hidden_looks = 2

    assert run_app(["train", "kinds", "ds-1"]) == 0
    assert gateway.hidden_looks == 0


@pytest.mark.parametrize("words", ORDERS)
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_does_not_succeed_is_status_1_with_its_remedy(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], words: str, status: str
) -> None:
    gateway.job |= {"status": status, "error": {"message": "no room", "remedy": "Free some."}}

    assert run_app(words.split()) == 1
    assert capsys.readouterr().err == "mill: train job job-1: no room. Free some.\n"


ESTIMATE = {
    **{"training_method": "lora", "method_reason": None, "train_rows": 704, "test_rows": 88},
    **{"n_epochs": 2.0, "batch_size": 16, "steps": 88, "trained_tokens": 61952, "seconds": 310.0},
    **{"earlier_job_ids": ["ftjob-1", "ftjob-2"], "peak_memory_bytes": 2_150_000_000},
    **{"needed_memory_bytes": 2_300_000_000, "worker_memory_bytes": 8_000_000_000},
    **{"waiting_reason": None, "notes": ["limits may end it"]},
}


def test_an_estimate_is_shown_and_orders_nothing(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.estimate = dict(ESTIMATE)
    words = "train kinds ds-1 --epochs 2 --estimate"

    assert run_app(words.split()) == 0

    shown = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "704 to train on, 88 to test" in shown["rows"]
    assert "61,952, in 2 epochs, 88 steps of 16 rows" in shown["tokens"]
    assert "about 5 min" in shown["time"]
    assert "2.1 GB" in shown["memory"]
    assert "8.0 GB" in shown["worker has"]
    assert "ftjob-1, ftjob-2" in shown["as of"]
    assert "limits may end it" in shown["note"]
    body = {"model": "kinds", "training_file": "ds-1", "hyperparameters": {"epochs": 2.0}}
    assert gateway.ordered == [("/v1/fine_tuning/jobs/estimate", body)]


def test_what_an_estimate_does_not_know_is_said(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = ("train_rows", "n_epochs", "batch_size", "steps", "trained_tokens", "seconds")
    gateway.estimate = ESTIMATE | dict.fromkeys(unknown)
    gateway.estimate |= {"earlier_job_ids": [], "waiting_reason": "needs 9 GB"}

    assert run_app(["train", "kinds", "ds-1", "--estimate"]) == 0
    out = capsys.readouterr().out
    assert out.count("unknown") == 2
    assert "needs 9 GB" in out
    assert "a rule" in out

    assert run_app(["train", "kinds", "ds-1", "--estimate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == gateway.estimate


WORKER = {
    **{"needed_memory_bytes": 536_000_000, "worker_memory_bytes": 8_000_000_000},
    **{"waiting_reason": None, "earlier_job_ids": ["job-1"], "notes": []},
}
OF_EVALUATION = {"rows": 88, "most_rows": 88, "seconds": 60.0, **WORKER}
OF_BUILD = {
    **{"target_form": "openvino-int8", "test_rows": 40, "built_bytes": 900_000_000},
    **{"seconds": 60.0, "most_seconds": None, **WORKER},
}


def told_facts(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is shown, by name."""
    lines = capsys.readouterr().out.splitlines()
    return dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in lines)


def test_an_estimate_of_an_evaluation_is_shown_and_orders_nothing(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.estimate = dict(OF_EVALUATION)
    words = "eval run kinds --dataset ds-1 --measure accuracy --estimate"

    assert run_app(words.split()) == 0

    assert told_facts(capsys) == {
        **{"rows": "88", "time": "about 60 s", "worker needs": "536.0 MB"},
        **{"worker has": "8.0 GB", "as of": "job-1"},
    }
    ((path, body),) = gateway.ordered
    assert (path, body["measures"]) == ("/v1/evaluations/estimate", ["accuracy"])


def test_an_estimate_of_a_build_is_shown_and_orders_nothing(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.estimate = dict(OF_BUILD)

    assert run_app(["optimize", "kinds", "--dataset", "ds-1", "--estimate"]) == 0

    assert told_facts(capsys) == {
        **{"form": "openvino-int8", "rows to test": "40", "size": "about 900.0 MB"},
        **{"time": "about 60 s", "worker needs": "536.0 MB"},
        **{"worker has": "8.0 GB", "as of": "job-1"},
    }
    body = {"model": "kinds", "dataset_id": "ds-1"}
    assert gateway.ordered == [("/v1/optimizations/estimate", body)]


def test_what_no_earlier_job_tells_is_unknown(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = {"seconds": None, "earlier_job_ids": [], "notes": ["time is not known: none yet"]}
    gateway.estimate = {**OF_EVALUATION, **nothing, "rows": None, "most_rows": 138}
    assert run_app(["eval", "run", "kinds", "--dataset", "ds-1", "--estimate"]) == 0
    told = told_facts(capsys)
    assert (told["rows"], told["time"]) == ("at most 138", "unknown")
    assert told["note"] == "time is not known: none yet"
    assert "as of" not in told

    search = {"target_form": None, "built_bytes": None, "most_seconds": 600}
    gateway.estimate = {**OF_BUILD, **nothing, **search, "waiting_reason": "needs 9 GB"}
    assert run_app(["optimize", "kinds", "--objective", "p95_ms=200", "--estimate"]) == 0
    told = told_facts(capsys)
    assert (told["size"], told["time"], told["budget"]) == ("unknown", "unknown", "10 min")
    assert told["waits"] == "needs 9 GB"
    assert "form" not in told


def test_options_and_further_fields_become_the_body(gateway: Gateway) -> None:
    fields = ["hyperparameters.lora_rank=8", "suffix=other", 'metadata={"a": "b"}', "limits.x.y=z"]
    sets = [word for field in fields for word in ("--set", field)]
    words = "train kinds ds-1 --name tuned --epochs 2 --seed 0 --no-wait"

    assert run_app([*words.split(), *sets]) == 0
    assert gateway.ordered == [
        (
            "/v1/fine_tuning/jobs",
            {
                **{"model": "kinds", "training_file": "ds-1", "suffix": "other", "seed": 0},
                **{"hyperparameters": {"epochs": 2.0, "lora_rank": 8}, "metadata": {"a": "b"}},
                "limits": {"x": {"y": "z"}},
            },
        )
    ]


def test_an_objective_its_load_and_its_budget_become_the_body(gateway: Gateway) -> None:
    words = "optimize kinds --objective p95_ms=200.5 --load in_flight=8,output_tokens=32"

    assert run_app([*words.split(), "--budget", "45m", "--no-wait"]) == 0
    assert gateway.ordered == [
        (
            "/v1/optimizations",
            {
                "model": "kinds",
                "objective": {"p95_ms": 200.5},
                "load": {"in_flight": 8, "output_tokens": 32},
                "budget_seconds": 2700,
            },
        )
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--objective p95_ms", "--objective p95_ms: write NAME=NUMBER, as in p95_ms=200"),
        ("--objective p95_ms=fast", "write NAME=NUMBER"),
        ("--objective size_mb=1 --load 8", "--load 8: write NAME=NUMBER"),
        ("--objective size_mb=1 --budget soon", "--budget soon: write seconds, or 45s, 30m or 2h"),
    ],
)
def test_an_objective_that_cannot_be_read_is_named_and_nothing_is_ordered(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert run_app(["optimize", "kinds", *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert gateway.ordered == []


def test_a_dataset_is_made_of_one_file_or_of_several(gateway: Gateway) -> None:
    for files in (["file-1"], ["file-1", "file-2"]):
        assert run_app(["data", "create", *files, "--layout", "alpaca", "--no-wait"]) == 0
    (_, one), (_, several) = gateway.ordered
    mapping = {"mapping": {"layout": "alpaca"}}
    assert one == {"file_id": "file-1", **mapping}
    assert several == {"file_ids": ["file-1", "file-2"], **mapping}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["seed"], "--set seed: write FIELD=VALUE"),
        (["a..b=1"], "write FIELD=VALUE"),
        (["seed=1", "seed.x=2"], "seed was set to 1 before"),
    ],
)
def test_a_field_that_cannot_be_set_is_named_and_nothing_is_ordered(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], fields: list[str], said: str
) -> None:
    sets = [word for field in fields for word in ("--set", field)]

    assert run_app(["train", "kinds", "ds-1", *sets]) == 2
    assert said in capsys.readouterr().err
    assert gateway.ordered == []


def test_a_file_of_this_machine_that_is_not_there_is_answered_with_the_nearest(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    missing = str(tmp_path / "rowz.jsonl")

    for words in (["files", "upload"], ["data", "create", "--layout", "alpaca"]):
        assert run_app([*words, missing]) == 2
        assert "Did you mean 'rows.jsonl'?" in capsys.readouterr().err
    assert gateway.ordered == []


def test_a_batch_without_answers_has_none_to_download(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "answers.jsonl"

    assert run_app(["batch", "download", "batch-1", "--output", str(target)]) == 2
    assert "has no answers: it is succeeded. `mill batch show`" in capsys.readouterr().err
    assert not target.exists()


def test_a_download_replaces_no_file_that_was_not_named(
    gateway: Gateway,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    gateway.job = {"id": "file-1", "filename": "../rows.jsonl"}
    (tmp_path / "rows.jsonl").write_text("mine")

    assert run_app(["files", "download", "file-1"]) == 2
    assert "rows.jsonl is there already. Give --output another name" in capsys.readouterr().err
    assert (tmp_path / "rows.jsonl").read_text() == "mine"


def test_people_see_the_fields_that_say_something(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.job = {"id": "file-1", "object": "file", "created_at": 60, "status": None, "tags": []}

    assert run_app(["files", "show", "file-1"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["id file-1", "created at 1970-01-01 00:01 UTC"]
