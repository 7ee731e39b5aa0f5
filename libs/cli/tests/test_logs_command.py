"""`mill logs`: entries of the log that `mill up` writes, read back and chosen from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelmill_cli import logged_stack
from modelmill_cli.app import run_app
from modelmill_cli.log_entries import LogEntry, read_entries
from modelmill_cli.logged_stack import StackLog

BROKER_LINE = "[7] 2026/12/03 04:35:27.5 [WRN] a slow consumer"


def said(message: str, level: str = "INFO", **fields: str) -> str:
    return json.dumps(
        {"time": "2026-12-03T04:36:16.787+00:00", "level": level, "message": message} | fields
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[StackLog]:
    """Of a state folder, with a line of each sort."""
    with StackLog(tmp_path / "up.log") as log:
        log.write("gateway", said("POST /v1/chat/completions 200", request_id="req-1"))
        log.write(
            "trainer",
            said("a job failed", "ERROR", exception="Traceback:\n  gateway fell", job_id="job-1"),
        )
        log.write("nats", BROKER_LINE)
        log.write("inference", "a plain line of a child")
        yield log


def all_of(path: Path) -> list[LogEntry]:
    return [entry for look in read_entries(path, follow=False) for entry in look]


def test_what_was_written_is_read_whole_with_level_and_process(log: StackLog) -> None:
    assert [(entry.service, entry.level) for entry in all_of(log.path)] == [
        ("gateway", "info"),
        ("trainer", "error"),
        ("nats", "warning"),
        ("inference", "info"),
    ]
    lines = [line for entry in all_of(log.path) for line in entry.text.split("\n")]
    assert lines == log.path.read_text().splitlines()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["gateway"], ["req-1"]),
        (["--level", "warning"], ["a job failed", "gateway fell", "slow consumer"]),
        (["--text", "JOB-1"], ["a job failed", "gateway fell"]),
        (["trainer", "nats", "--level", "error"], ["a job failed", "gateway fell"]),
        (["-n", "1"], ["a plain line"]),
        (["-n", "0"], []),
        (["optimizer-builder"], []),
    ],
)
def test_entries_are_chosen_by_process_level_text_and_number(
    log: StackLog, capsys: pytest.CaptureFixture[str], words: list[str], found: list[str]
) -> None:
    assert run_app(["--state", str(log.path.parent), "logs", *words]) == 0

    out = capsys.readouterr().out
    everything = ["req-1", "a job failed", "gateway fell", "slow consumer", "a plain line"]
    assert [each for each in everything if each in out] == found


def test_for_programs_an_entry_is_an_object_in_a_line(
    log: StackLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["--state", str(log.path.parent), "logs", "trainer", "--json"]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    assert (entry["service"], entry["level"]) == ("trainer", "error")
    assert "gateway fell" in entry["text"]


def test_who_follows_sees_what_comes_also_in_a_new_file(
    log: StackLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = iter(["one", "two", "three", "four"])
    monkeypatch.setattr(logged_stack, "KEPT_BYTES", log.path.stat().st_size + 60)
    seen: list[str] = []

    def look() -> None:
        for entries in looks:
            seen.extend(entry.text.split()[-1] for entry in entries)

    looks = read_entries(
        log.path, follow=True, sleep=lambda _: log.write("gateway", said(next(coming)))
    )

    with pytest.raises(RuntimeError):  # nothing comes any more
        look()

    assert seen[-4:] == ["one", "two", "three", "four"]
    assert log.path.with_name("up.log.1").exists()
    assert [entry.text.split()[-1] for entry in all_of(log.path)] == seen


def test_a_misspelt_process_and_a_folder_without_a_log_are_told_what_there_is(
    log: StackLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["--state", str(log.path.parent), "logs", "gatway"]) == 2
    assert "Did you mean 'gateway'? There are data_prep, " in capsys.readouterr().err

    assert run_app(["--state", str(log.path.parent / "other"), "logs"]) == 2
    assert "`mill up` has not run on it" in capsys.readouterr().err
