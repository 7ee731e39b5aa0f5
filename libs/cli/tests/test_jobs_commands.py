"""`mill jobs`: what a person reads of jobs in a terminal."""

import io
import json
import queue
import re
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from cli_support.gateways import Handler, told_of
from modelmill_bus.kinds import dataset_id_of
from modelmill_cli.app import run_app
from modelmill_cli.job_watch import LossCurve, watch_job
from modelmill_cli.job_words import turn_words
from modelmill_cli.tables import LiveWords
from modelmill_client import JobFailedError, Modelmill
from rich.console import Console

QUEUED = {
    "id": "ftjob-1",
    "kind": "train",
    "status": "queued",
    "desired_state": "run",
    "requested_by": "ada",
    "priority": "high",
    "spec_sha256": "9f2c",
    "queue_position": 3,
    "estimated_start": None,
    "waiting_reason": None,
    "cost": {"work_seconds": 7300.0, "attempts": 2, "trained_tokens": 4000},
    "progress": None,
    "result": None,
    "error": None,
}
ERROR = {
    "message": "no row is valid",
    "remedy": "Look at [the mapping].",
    "log_tail": "Traceback [bold]\nValueError: no",
}


class Gateway(ThreadingHTTPServer):
    """Answers with one job, and with a stream of its events."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.job: dict[str, Any] = dict(QUEUED)
        self.events: list[dict[str, Any]] = []
        self.pages: list[dict[str, Any]] = []
        """Of events, for who asks for pages."""
        self.metrics: list[dict[str, Any]] = []
        self.is_complete = True
        self.comparison: dict[str, Any] = {}
        self.checkpoints: list[dict[str, Any]] = []
        self.asked: list[list[str]] = []
        """Parameters of each question for a page or for metrics."""


class _Handler(Handler):
    server: Gateway

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/events") and query:
            self.server.asked.append(query.split("&"))
            pages = self.server.pages
            body = json.dumps(pages.pop(0) if pages else {"data": [], "has_more": False})
        elif path.endswith("/metrics"):
            self.server.asked.append(query.split("&"))
            record = {"series": self.server.metrics, "is_complete": self.server.is_complete}
            body = "step,loss\n1,3.0\n" if "format=csv" in query else json.dumps(record)
        elif path.endswith("/checkpoints"):
            body = json.dumps({"data": self.server.checkpoints, "has_more": False})
        elif path.endswith("/comparison"):
            body = json.dumps(self.server.comparison)
        elif path.endswith("/events"):
            lines = [f"data: {json.dumps({'data': each})}\n\n" for each in self.server.events]
            body = "".join(lines)
        elif path.endswith("/v1/jobs"):
            body = json.dumps({"data": [self.server.job]})
        else:
            body = json.dumps(self.server.job)
        self.answer(body.encode())


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with told_of(Gateway(), monkeypatch) as server:
        yield server


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_app(["jobs", *words]) == 0
    return capsys.readouterr().out


def test_a_list_and_a_job_say_what_is_before_it(gateway, capsys):
    assert "2 before it" in said(capsys, "list")
    shown = said(capsys, "show", "ftjob-1")
    for words in ("ada", "high", "2 before it", "9f2c", "2.0 h", "4,000 tokens"):
        assert words in shown


def test_a_job_that_fits_no_worker_says_so(gateway, capsys):
    gateway.job |= {"queue_position": None, "waiting_reason": "needs 40.0 GB"}

    assert "needs 40.0 GB" in said(capsys, "list")
    assert "needs 40.0 GB" in said(capsys, "show", "ftjob-1")


def test_a_failed_job_shows_the_remedy_and_the_end_of_its_log_as_it_was_written(gateway, capsys):
    gateway.job |= {"status": "failed", "queue_position": None, "error": ERROR}

    listed, shown = said(capsys, "list"), said(capsys, "show", "ftjob-1")
    for words in ("no row is valid. Look at [the mapping].", "ValueError: no"):
        assert words in listed
        assert words in shown
    assert "Traceback [bold]" in shown


def test_a_list_says_which_job_makes_what_of_which_model_and_dataset(gateway, capsys):
    spec = {"name": "kinds", "base_version_id": "mv-base", "dataset_id": "ds-rows"}
    gateway.job |= {"spec": spec}

    listed, shown = said(capsys, "list"), said(capsys, "show", "ftjob-1")
    for words in ("kinds", "mv-base", "ds-rows"):
        assert words in listed
        assert words in shown


def test_a_job_that_has_ended_says_no_time_left(gateway, capsys):
    progress = {"phase": "measure", "done": 5, "total": 9, "metrics": {}, "eta_seconds": 77.0}
    for status, says_it in (("running", True), ("succeeded", False)):
        gateway.job |= {"status": status, "queue_position": None, "progress": progress}
        for words in (["list"], ["show", "ftjob-1"]):
            assert ("left" in said(capsys, *words)) == says_it


def test_a_phase_in_which_nothing_is_counted_says_nothing_done(gateway, capsys):
    for counted, says_it in (({"done": 0}, False), ({"done": 0, "total": 9}, True)):
        progress = {"phase": "check", "metrics": {}, "eta_seconds": None, **counted}
        gateway.job |= {"status": "running", "queue_position": None, "progress": progress}
        assert ("\ndone " in said(capsys, "show", "ftjob-1")) == says_it


def whole(shown: str) -> str:
    """A table's text with what was folded put together again, column by column."""
    cells = [re.split("[│┃]", line)[1:-1] for line in shown.splitlines() if "│" in line]
    return "\n".join(
        "".join(cell.strip() for cell in column) for column in zip(*cells, strict=True)
    )


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_id_is_cut_off_however_narrow_the_terminal_is(gateway, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    ids = {name: f"{name}-{'0123456789abcdef' * 2}" for name in ("ftjob", "mv", "ds")}
    gateway.job |= {
        **{"id": ids["ftjob"], "status": "succeeded", "queue_position": None},
        "spec": {"base_version_id": ids["mv"], "dataset_id": ids["ds"]},
    }

    shown = re.sub("\x1b\\[[0-9;]*m", "", said(capsys, "list"))
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    for name in ids.values():
        assert name in whole(shown)


def test_what_goes_into_a_pipe_has_each_job_in_one_line(gateway, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    gateway.job |= {"id": f"ftjob-{'0' * 32}", "spec": {"dataset_id": f"ds-{'1' * 32}"}}

    (line,) = [line for line in said(capsys, "list").splitlines() if "ftjob" in line]
    assert f"ftjob-{'0' * 32}" in line
    assert f"ds-{'1' * 32}" in line


def side(job_id: str, **changes: Any) -> dict[str, Any]:
    """A job as a comparison has it."""
    job = {**QUEUED, "id": job_id, "spec": {"name": f"[{job_id}]\x1b"}, **changes}
    return {"job": job, "dataset": None, "is_complete": True, "series": []}


def test_jobs_are_compared_by_what_differs_and_with_all_by_everything(gateway, capsys):
    done, failed = side("ftjob-1"), side("ftjob-2", status="failed", error=ERROR)
    counts = {"rows_in": 9, "train": 8, "test": 1}
    done["dataset"] = {
        **{"id": "ds-1", "name": "words", "digest": "sha256:5", "counts": counts},
        "is_deleted": True,
    }
    done["series"] = [{"name": "loss", "values": [3.0, 0.5, 1.0], "total": 900}]
    gateway.comparison = {
        "jobs": [done, failed],
        "settings": [
            {"path": "seed", "differs": True, "values": [7.0, None]},
            {"path": "method", "differs": False, "values": ["lora", "lora"]},
        ],
        "scores": [
            {"name": "accuracy", "values": [{"value": 0.7, "low": 0.6, "high": 0.8}, None]},
            {"name": "flops", "values": [{"value": 2155780000.0, "low": None, "high": None}, None]},
        ],
    }

    shown = said(capsys, "compare", "ftjob-1", "ftjob-2")
    lines = {line.split("  ")[0]: line for line in shown.splitlines()}

    assert lines["dataset"].split()[1:] == ["ds-1", "words", "(deleted)"]
    assert "8 train, 1 test" in lines["rows"]
    assert "no row is valid" in lines["error"]
    assert lines["seed *"].split() == ["seed", "*", "7"]
    assert lines["flops"].split() == ["flops", "2,155,780,000"]
    assert "0.7 (0.6 to 0.8)" in lines["accuracy"]
    assert "3 -> 1, lowest 0.5, 900 points" in lines["loss"]
    assert "method" not in shown
    assert "\x1b" not in shown
    assert "lora" in said(capsys, "compare", "ftjob-1", "ftjob-2", "--all")
    assert json.loads(said(capsys, "compare", "ftjob-1", "ftjob-2", "--json")) == gateway.comparison


def test_one_job_alone_is_not_compared(gateway, capsys):
    assert run_app(["jobs", "compare", "ftjob-1"]) == 2

    assert "name 2 to 10 of `mill jobs list`; 1 was given" in capsys.readouterr().err


def watched(gateway: Gateway, **more: Any) -> tuple[str, Exception | None]:
    console = Console(file=io.StringIO(), width=100)
    try:
        with Modelmill(f"http://127.0.0.1:{gateway.server_port}", "token") as client:
            watch_job(client, "ftjob-1", "training", console, **more)
    except JobFailedError as error:
        return console.file.getvalue(), error
    return console.file.getvalue(), None


def test_a_watched_job_draws_its_losses_when_it_has_ended(gateway):
    gateway.job |= {"status": "succeeded", "queue_position": None}
    steps = [{"phase": "train", "step": at, "total_steps": 9, "loss": 1 / at} for at in range(1, 9)]
    gateway.events = [*steps, {"status": "succeeded"}]

    drawn, error = watched(gateway)
    assert error is None
    assert "training loss by optimizer step" in drawn
    assert "loss 0.125" in drawn


def test_figures_of_a_watched_job_reach_who_asked_for_them(gateway):
    gateway.job |= {"status": "succeeded", "queue_position": None}
    gateway.events = [{"phase": "train", "step": 1, "loss": 2.5}, {"status": "succeeded"}]
    seen: list[dict[str, Any]] = []

    watched(gateway, on_figures=seen.append)
    assert [(figures["step"], figures["loss"]) for figures in seen] == [(1, 2.5)]


def test_a_job_that_did_not_learn_says_so_with_advice(gateway, capsys):
    advice = "It did not learn: the score is not above the base's. Try more rows."
    gateway.job |= {"status": "succeeded", "queue_position": None}
    gateway.job["result"] = {"summary": {"learned": False, "advice": advice}}
    gateway.events = [{"status": "succeeded"}]

    drawn, error = watched(gateway)
    assert error is None
    assert advice in drawn
    assert advice in " ".join(said(capsys, "show", "ftjob-1").split())


def test_a_watched_job_that_waits_is_told_its_turn_as_it_changes(gateway):
    told = queue.Queue[str]()
    gateway.job |= {"queue_position": 1}

    def ask() -> str:
        words = turn_words(gateway.job)
        gateway.job["queue_position"] += 1
        return words

    with LiveWords(ask, told.put, seconds=0.01) as turn:
        heard = [told.get(timeout=10) for _ in range(3)]
        turn.waits(False)
        behind = told.qsize()
        with pytest.raises(queue.Empty):
            [told.get(timeout=0.2) for _ in range(behind + 1)]
        turn.waits(True)
        assert told.get(timeout=10)
    assert heard == ["next", "1 before it", "2 before it"]


def test_a_question_that_outlives_its_block_ends_without_a_word():
    asked, closed = threading.Event(), threading.Event()

    def ask() -> str:
        asked.set()
        closed.wait(10)
        raise RuntimeError("the client has been closed")

    with LiveWords(ask, lambda _: None) as turn:
        assert asked.wait(10)
    closed.set()
    turn.thread.join(10)
    assert not turn.thread.is_alive()


def test_a_job_that_is_watched_into_a_file_writes_each_step_in_a_line_and_moves_no_cursor(
    gateway, capsys
):
    gateway.job |= {"status": "succeeded", "queue_position": None}
    steps = [
        {"phase": "train", "step": at, "total_steps": 3, "loss": 1 / at, "eta_seconds": 4 - at}
        for at in (1, 2, 2, 3)
    ]
    gateway.events = [{"status": "running"}, *steps, {"status": "succeeded"}]

    lines = said(capsys, "watch", "ftjob-1").splitlines()
    at = lines.index("ftjob-1: running")
    assert lines[at + 1 : at + 5] == [
        "ftjob-1: train  1/3  loss 1.000  3 s left",
        "ftjob-1: train  2/3  loss 0.500  2 s left  █▁",
        "ftjob-1: train  3/3  loss 0.333  1 s left  █▃▁",
        "ftjob-1: succeeded  loss 0.333  █▃▁",
    ]
    assert "\x1b" not in "".join(lines)


def test_a_watched_job_that_fails_ends_with_its_log_and_the_remedy(gateway):
    gateway.job |= {"status": "failed", "error": ERROR}
    gateway.events = [{"status": "failed"}]

    drawn, error = watched(gateway)
    assert ERROR["log_tail"] in drawn
    assert "Look at [the mapping]." in str(error)


def test_the_curve_so_far_is_a_line_that_falls_with_the_loss():
    curve = LossCurve()
    assert curve.sparkline() == ""
    for step in range(1, 101):
        curve.observe({"phase": "train", "step": step, "loss": 101 - step})
    line = curve.sparkline()
    assert len(line) == 24
    assert (line[0], line[-1]) == ("\N{FULL BLOCK}", "\N{LOWER ONE EIGHTH BLOCK}")
    assert list(line) == sorted(line, reverse=True)


@pytest.mark.parametrize(
    ("position", "in_seconds", "words"),
    [
        (None, None, ""),
        (1, None, "next"),
        (1, -5, "next"),
        (1, 5, "next, starts in about 5 s"),
        (4, 600, "3 before it, starts in about 10 min"),
    ],
)
def test_a_turn_is_told_in_words(position, in_seconds, words):
    starts_at = None if in_seconds is None else 1000 + in_seconds
    assert turn_words({"queue_position": position, "estimated_start": starts_at}, 1000) == words


def test_a_job_that_was_not_watched_shows_its_curves_in_the_points_that_fit(gateway, capsys):
    gateway.job |= {"status": "succeeded", "queue_position": None}
    gateway.metrics = [series_of("loss", 100_000), series_of("learning_rate", 100_000)]

    shown = said(capsys, "show", "ftjob-1")

    assert "training loss by optimizer step" in shown
    assert "learning rate by optimizer step" in shown
    assert gateway.asked == [["points=400", "name=loss", "name=learning_rate"]]


def series_of(name: str, total: int) -> dict[str, Any]:
    """Of few points out of many."""
    points = {"steps": [1, 7, total], "values": [3.0, 0.25, 1.5]}
    return {"name": name, "phase": "train", "total": total, "is_sampled": True, **points}


def test_metrics_are_told_by_their_extremes_and_given_whole(gateway, capsys):
    gateway.metrics = [series_of("loss", 100_000)]

    row = said(capsys, "metrics", "ftjob-1").splitlines()[-1].split()
    record = json.loads(said(capsys, "metrics", "ftjob-1", "--json", "--from-step", "5"))
    rows = said(capsys, "metrics", "ftjob-1", "--csv")

    assert row == ["loss", "train", "100,000", "100,000", "1.5", "0.25", "3"]
    assert record["series"] == gateway.metrics
    assert rows == "step,loss\n1,3.0\n"
    assert gateway.asked == [["points=2000"], ["points=2000", "from_step=5"], ["format=csv"]]


def test_a_metric_that_the_job_does_not_have_is_refused_with_the_nearest(gateway, capsys):
    gateway.metrics = [series_of("loss", 3), series_of("grad_norm", 3)]

    assert run_app(["jobs", "metrics", "ftjob-1", "--name", "losss"]) != 0
    said_of_it = capsys.readouterr().err
    assert "no metric 'losss'. Did you mean 'loss'? `mill jobs metrics ftjob-1` lists" in said_of_it


def test_a_job_that_measured_nothing_says_so_in_place_of_a_table(gateway, capsys):
    assert run_app(["jobs", "metrics", "ftjob-1"]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "nothing was measured by step\n")


def test_metrics_that_may_lack_steps_say_so(gateway, capsys):
    gateway.is_complete = False

    assert run_app(["jobs", "metrics", "ftjob-1"]) == 0
    assert "earlier steps may be missing" in capsys.readouterr().err


SAID = [
    {"id": "e-2", "created_at": 1_795_392_061, "level": "error", "message": "no\x1b[2J\nrow"},
    {"id": "e-1", "created_at": 1_795_392_000, "level": "info", "message": "running"},
]


def test_what_a_job_said_is_a_line_an_event_oldest_first_and_the_end_of_its_log(gateway, capsys):
    gateway.job |= {"status": "failed", "error": ERROR}
    gateway.pages = [{"has_more": False, "data": SAID}]

    assert said(capsys, "logs", "ftjob-1").splitlines() == [
        "2026-11-23T00:00:00Z info  running",
        "2026-11-23T00:01:01Z error no\\u001b[2J row",
        *ERROR["log_tail"].splitlines(),
    ]


def test_logs_are_followed_to_the_jobs_end_which_decides_the_status(gateway, capsys):
    gateway.events = [{"status": "running"}, {"status": "failed"}]
    gateway.job |= {"status": "failed", "error": ERROR}

    assert run_app(["jobs", "logs", "ftjob-1", "--follow", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["data"]["status"] for line in out.splitlines()] == [
        "running",
        "failed",
    ]
    assert err == "mill: train job ftjob-1: no row is valid. Look at [the mapping].\n"


def test_a_job_of_another_kind_has_no_curves_and_nobody_asks_for_them(gateway, capsys):
    gateway.job |= {"kind": "dataset"}

    assert "training loss" not in said(capsys, "show", "ftjob-1")
    assert gateway.asked == []


TRAINED = {
    **{"learned": True, "rows": 1054, "steps": 66, "first_loss": 11.617, "last_loss": 0.47},
    **{"first_valid_loss": 9.5, "valid_loss": 0.266, "train_seconds": 83.7},
    "accuracy_base": {"mean": 0.07, "low": 0.035, "high": 0.105},
    "accuracy_tuned": {"mean": 0.8, "low": 0.745, "high": 0.855},
    "differences": {"tuned-base": {"mean": 0.73, "low": 0.665, "high": 0.79}},
}
RESULTS = {
    "train": (
        {"version_id": "mv-tuned", "summary": TRAINED},
        *("made kinds mv-tuned", "learned yes", "score of base 7.0% right (3.5% to 10.5%)"),
        *("tuned 80.0% right (74.5% to 85.5%)", "gain +73.0 points (+66.5 to +79.0, paired)"),
        *("loss 11.617 -> 0.470", "valid loss 9.500 -> 0.266", "rows 1,054", "steps 66"),
        "next mill chat --model mv-tuned; mill models card mv-tuned",
    ),
    "dataset": (
        {"version_id": None, "summary": {"train": 240.0, "rows_kept": 300.0, "rows_in": 310.0}},
        *(f"made {dataset_id_of('job-1')}", "rows in 310", "rows kept 300", "train 240"),
        "next mill train MODEL {0}; mill data report {0}".format(dataset_id_of("job-1")),
    ),
    "optimize": (
        {
            "version_id": "mv-int8",
            "summary": {"accuracy": 0.8, "bytes": 137280478.0, "tokens_per_second": 111.7},
        },
        *("made mv-int8", "score 80.0% (80.0% to 80.0%)", "size 137.3 MB", "speed 112 tokens/s"),
        "next mill models show mv-int8; mill chat --model mv-int8; mill models alias NAME mv-int8",
    ),
    "evaluate": (
        {"version_id": None, "summary": {"passed": True}},
        *("protections hold", "next mill eval show job-1; mill eval report job-1"),
    ),
    "batch": ({"version_id": None, "summary": {"total": 3.0}}, "total 3"),
}


@pytest.mark.parametrize("word", ["show", "watch"])
@pytest.mark.parametrize("kind", RESULTS)
def test_what_a_job_made_is_read_by_people_and_on_request_by_programs(gateway, capsys, kind, word):
    result, *lines = RESULTS[kind]
    spec = {"name": "kinds", "dataset_id": "ds-1"}
    gateway.job |= {"id": "job-1", "kind": kind, "status": "succeeded", "spec": spec}
    gateway.job |= {"result": result, "queue_position": None}
    gateway.events = [{"status": "succeeded"}]

    shown = [" ".join(line.split()) for line in said(capsys, word, "job-1").splitlines()]
    assert shown[-len(lines) :] == [*lines] if kind != "train" else {*lines} <= {*shown}
    assert "{" not in "".join(shown)
    assert json.loads(said(capsys, word, "job-1", "--json"))["result"] == result


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"accuracy_loss": 0.03, "accuracy_loss_allowed": 0.02}, "more than the 2.0% allowed"),
        ({"accuracy_loss_allowed": 0.02}, "its loss was not measured"),
        ({"accuracy_loss": 0.02, "accuracy_loss_allowed": 0.02}, None),
        ({"accuracy_loss": 0.03}, None),
    ],
)
def test_a_build_that_serves_no_name_says_why(gateway, capsys, figures, why):
    gateway.job |= {"kind": "optimize", "status": "succeeded", "queue_position": None}
    gateway.job["result"] = {"version_id": "mv-int4", "summary": figures}

    shown = " ".join(said(capsys, "show", "ftjob-1").split())
    assert ("held back" in shown) == (why is not None)
    assert (why or "") in shown


@pytest.mark.parametrize(
    ("form", "next_step"),
    [
        ("onnx-int8", "mill chat --model mv-1"),
        ("gguf-q8_0", "mill models export mv-1 FOLDER"),
        ("compressed-tensors-int4", "mill models export mv-1 FOLDER"),
        ("tensorrt-onnx", "mill models export mv-1 FOLDER"),
        ("pruned", "mill train mv-1 DATASET --method full"),
    ],
)
def test_a_build_for_others_is_to_be_exported_and_any_other_answers(
    gateway, capsys, form, next_step
):
    gateway.job |= {"kind": "optimize", "status": "succeeded", "queue_position": None}
    gateway.job |= {"spec": {"target_form": form}}
    gateway.job["result"] = {"version_id": "mv-1", "summary": {"bytes": 1}}

    assert next_step in " ".join(said(capsys, "show", "ftjob-1").split())


def test_a_search_says_its_verdict_and_every_candidate(gateway, capsys):
    figure = {"value": 40.0, "low": 38.0, "high": 42.0}
    point = {"figures": {"p95_ms": figure}, "loss": None, "contradictory": {}, "version_id": ""}
    built = point | {"form": "openvino-int8", "version_id": "mv-1"}
    built["loss"] = {"value": 0.01, "low": 0.0, "high": 0.02}
    summary = {
        "verdict": "not_met",
        "reason": "the nearest is openvino-int8 with 40",
        "chosen": "openvino-int8",
        "objective": {"p95_ms": 30},
        "points": [point | {"form": "source"}, built],
        "untried": {"onnx-fp32": "no memory"},
        "cost": {"before": 2.0, "after": 1.18, "change": -0.41},
    }
    gateway.job |= {"kind": "optimize", "status": "succeeded", "queue_position": None}
    gateway.job["result"] = {"version_id": "mv-1", "summary": summary}

    shown = " ".join(said(capsys, "show", "ftjob-1").split())
    assert "verdict not met: the nearest is openvino-int8 with 40" in shown
    assert "openvino-int8 p95_ms 40 (38 to 42), lost 1 (0 to 2) points, mv-1" in shown
    assert "onnx-fp32 not measured: no memory" in shown
    assert "2 before, 1.18 after, -41%" in shown


def test_a_run_that_did_not_learn_has_no_other_words_for_it(gateway, capsys):
    gateway.job |= {"status": "succeeded", "queue_position": None}
    summary = {"learned": False, "advice": "It did not learn: [the score]. Try more rows."}
    gateway.job["result"] = {"version_id": "mv-1", "summary": summary}

    shown = " ".join(said(capsys, "show", "ftjob-1").split())
    assert "advice It did not learn: [the score]. Try more rows." in shown
    assert "learned no, the advice says why" in shown


def test_checkpoints_are_listed_with_step_losses_and_the_model_of_one_that_succeeded(
    gateway, capsys
):
    known = {"train_loss": 0.33333, "valid_loss": 0.5, "full_valid_loss": None}
    saved = {"created_at": 0, "step_number": 1200, "fine_tuned_model_checkpoint": None}
    unknown = dict.fromkeys(known)
    gateway.checkpoints = [
        saved | {"id": "b", "metrics": known},
        saved
        | {"id": "a", "step_number": 9, "metrics": unknown}
        | {"fine_tuned_model_checkpoint": "mv-made"},
    ]

    _, newest, other = said(capsys, "checkpoints", "ftjob-1").splitlines()
    assert newest.split() == ["1,200", "1970-01-01", "00:00", "UTC", "0.3333", "0.5"]
    assert other.split()[0] == "9"
    assert other.split()[-1] == "mv-made"
    as_json = said(capsys, "checkpoints", "ftjob-1", "--json").splitlines()
    assert [json.loads(line)["id"] for line in as_json] == ["b", "a"]
