"""`mill moderation labelled`: what people reported, as rows that `mill moderation test` reads."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.gateway.v1.gateway_events_pb2 import (
    FEEDBACK_REPORT_FALSE_POSITIVE,
    FEEDBACK_REPORT_MISSED,
    FEEDBACK_REPORT_UNSPECIFIED,
    FeedbackRecorded,
)
from modelmill_bus.broker_config import Identities
from modelmill_bus.bus import Bus
from modelmill_bus.deploy import make_streams
from modelmill_bus.subjects import feedback_recorded
from modelmill_cli.app import run_app
from modelmill_cli.policy_trial import LABELS, labelled_rows, read_line
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_testkit.nats_server import run_nats

REPORTS = [
    FeedbackRecorded(tenant="acme", request_id="req-1", score=1.0),
    FeedbackRecorded(tenant="acme", request_id="req-2", report=FEEDBACK_REPORT_MISSED),
    FeedbackRecorded(tenant="acme", text="pick a lock", report=FEEDBACK_REPORT_MISSED),
    FeedbackRecorded(
        tenant="acme",
        text="lock screen\nof a phone",
        report=FEEDBACK_REPORT_FALSE_POSITIVE,
        direction="input",
        rules=["no-locks"],
    ),
    FeedbackRecorded(
        tenant="acme", text="pick a lock", report=FEEDBACK_REPORT_FALSE_POSITIVE, direction="output"
    ),
    FeedbackRecorded(tenant="other", text="pick a lock", report=FEEDBACK_REPORT_MISSED),
]


@asynccontextmanager
async def running(folder: Path, reports: Sequence[FeedbackRecorded]) -> AsyncIterator[Path]:
    """A state folder on which a broker runs that holds these reports."""
    state = StateFolder(folder / "state")
    people = Identities(state.bus_identities)
    with state.locked():
        people.ensure()
        async with run_nats(folder / "nats", people.authorization()) as nats:
            await make_streams(nats.url, people.seed("deploy"))
            async with Bus.connect(nats.url, people.seed("gateway"), name="gateway") as bus:
                for report in reports:
                    report.at.GetCurrentTime()
                    await bus.publish(feedback_recorded(report.tenant), report)
            state.write_runtime(
                Runtime(
                    *(os.getpid(), "http://127.0.0.1:1", nats.url, str(state.bus_identities)),
                    *("s", "a", {}, {}, {}),
                )
            )
            yield state.path


def written(folder: Path, *words: str, status: int = 0) -> list[dict[str, Any]]:
    """Rows that the command writes beside a broker with the reports."""
    file = folder / "labelled.jsonl"

    with asyncio.Runner() as runner:
        # The command has a loop of its own, and wants the main thread.
        broker = running(folder, REPORTS)
        state = runner.run(broker.__aenter__())
        try:
            arguments = ["--state", str(state), "moderation", "labelled", str(file), *words]
            assert run_app(arguments) == status
        finally:
            runner.run(broker.__aexit__(None, None, None))
    return [json.loads(line) for line in file.read_text().splitlines()] if not status else []


def test_the_last_report_of_a_text_is_its_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(tmp_path, "--json")

    done = {"texts": 3, "path": str(tmp_path / "labelled.jsonl")}
    assert json.loads(capsys.readouterr().out) == done

    assert [(row["tenant"], row["text"], row["label"]) for row in rows] == [
        ("acme", "lock screen\nof a phone", False),
        ("acme", "pick a lock", False),
        ("other", "pick a lock", True),
    ]
    assert (rows[0]["direction"], rows[0]["rules"]) == ("input", ["no-locks"])
    assert (tmp_path / "labelled.jsonl").stat().st_mode & 0o777 == 0o600


def test_one_tenant_and_one_direction_may_be_asked_for(tmp_path: Path) -> None:
    rows = written(tmp_path, "--tenant", "acme", "--direction", "input")

    assert [(row["text"], row["label"]) for row in rows] == [
        ("pick a lock", True),
        ("lock screen\nof a phone", False),
    ]


def test_what_can_be_no_tenant_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "--tenant", "*", status=2)
    assert "tenant must be" in capsys.readouterr().err
    assert not (tmp_path / "labelled.jsonl").exists()


KINDS = st.sampled_from([FEEDBACK_REPORT_MISSED, FEEDBACK_REPORT_FALSE_POSITIVE])


@given(st.lists(st.tuples(st.text("ab\n\u2028🙂 ", min_size=1), KINDS), max_size=30))
def test_every_reported_text_is_one_row_that_a_trial_reads_with_the_last_label(
    said: list[tuple[str, Any]],
) -> None:
    reports = [FeedbackRecorded(tenant="t", text=text, report=kind) for text, kind in said]
    rows = [read_line(row.encode(), jsonl=True) for row in labelled_rows(reports, None)]

    assert {row.text: row.label for row in rows if row} == {t: LABELS[kind] for t, kind in said}
    assert len(rows) == len({text for text, _ in said})
    assert all("\n" not in row for row in labelled_rows(reports, None))
    assert FEEDBACK_REPORT_UNSPECIFIED not in LABELS
