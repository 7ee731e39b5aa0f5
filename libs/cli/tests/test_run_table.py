"""A run of a recipe is one table on a terminal, and lines in a file."""

import io
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from modelmill_cli.run_table import StepRow, view_on
from modelmill_client import JobFailedError, Modelmill
from rich.console import Console

EVENTS = [
    {"message": "queued", "data": {"status": "queued"}},
    *(
        {
            "data": {
                "phase": "train",
                "step": step,
                "total_steps": 8,
                "loss": 1 / step,
                "tokens_per_second": 1234.5,
                "eta_seconds": 8 - step,
            }
        }
        for step in (2, 4)
    ),
]


def client_of(status: str, events: Sequence[dict[str, Any]] = EVENTS) -> Modelmill:
    """Of a gateway with one job that has ended so."""
    told = [*events, {"data": {"status": status}}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            lines = (f"id: e{n}\ndata: {json.dumps(each)}\n\n" for n, each in enumerate(told))
            kind = {"content-type": "text/event-stream"}
            return httpx.Response(200, text="".join(lines), headers=kind)
        job = {"id": "job-1", "kind": "train", "status": status, "result": {"summary": {}}}
        return httpx.Response(200, json=job | {"error": {"message": "no"}})

    return Modelmill("http://gateway", "token", transport=httpx.MockTransport(answer))


def shown(*, terminal: bool, status: str = "succeeded") -> list[str]:
    """What a run of two steps shows; of a terminal the last frame."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=160, color_system=None)
    with view_on(console, ["files", "training", "alias x"]) as view, client_of(status) as client:
        view.kept("files", "a.csv")
        try:
            view.follow(client, "job-1", "training")
        except JobFailedError:
            assert status == "failed"
        else:
            view.done("alias x", "mv-1")
    frames = written.getvalue().replace("\x1b[2K", "").split("step ")
    text = frames[-1] if terminal else written.getvalue()
    return [" ".join(line.split()) for line in text.splitlines()]


def test_on_a_terminal_each_step_is_a_row_with_loss_rate_and_time_left() -> None:
    head, files, training, alias, *_ = shown(terminal=True)
    assert head == "done loss rate left"
    assert files == "files kept a.csv"
    assert training == "training done ━━━━━━━━──────── 4/8 0.250 █▁ 1,234 tokens/s succeeded"
    assert alias == "alias x done mv-1"


def test_a_job_that_failed_is_told_and_what_follows_it_has_no_state() -> None:
    _, _, training, alias, *_ = shown(terminal=True, status="failed")
    assert training.startswith("training ended")
    assert alias == "alias x"


def test_elsewhere_it_is_a_line_for_each_thing_that_is_new() -> None:
    assert shown(terminal=False) == [
        "kept files a.csv",
        "training: queued",
        "training: train 2/8 loss 0.500 1234 tokens/s 6 s left",
        "training: train 4/8 loss 0.250 1234 tokens/s 4 s left █▁",
        *shown(terminal=False)[4:-1],
        "done alias x mv-1",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_words_of_others_cannot_steer_the_terminal(terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=160, color_system=None)
    with view_on(console, ["files"]) as view:
        view.done("files", "a\x1b]0;title\x07[bold].csv")
    assert "\x1b]0;" not in written.getvalue()
    assert "[bold]" in written.getvalue()


def test_a_step_that_waits_says_where_and_one_that_works_how_long_it_takes() -> None:
    with StepRow("training") as row:
        row.show(figures="  3 before it")
        assert row.left == "3 before it"
        row.show(phase="train", step=1, total=4)
        row.observe({"phase": "train", "step": 1, "loss": 1.0, "eta_seconds": 9})
        row.show(figures="loss 1.000")
        assert row.left == "9 s"
    assert row.left == ""
