"""The log of a stack: one file, its end, and what of it is news."""

import json
import os
import re
from pathlib import Path

import pytest
from modelmill_cli.logged_stack import KEPT_BYTES, StackLog, is_news


def test_the_end_of_the_log_is_told_with_its_place_and_nothing_that_a_terminal_obeys(
    tmp_path: Path,
) -> None:
    with StackLog(tmp_path / "up.log") as log:
        assert log.last_words() == ""
        for at in range(30):
            log.write("nats", f"line {at}")
        log.write("trainer", json.dumps({"level": "ERROR", "message": "no \x1b[2J room"}))

    *lines, where = log.last_words().splitlines()
    assert [line.split()[-1] for line in lines[:-1]] == [str(at) for at in range(11, 30)]
    assert re.fullmatch(rf"{'trainer':>17} \S+T\S+ ERROR no \?\[2J room", lines[-1])
    assert where == f"all of the log: {tmp_path / 'up.log'}"
    assert (tmp_path / "up.log").read_text().splitlines()[0] == f"{'nats':>17} line 0"


def test_a_line_of_ours_has_its_time_and_what_it_is_of(tmp_path: Path) -> None:
    line = {"time": "2026-12-02T23:00:01.234+00:00", "level": "INFO", "message": "GET / 200"}
    with StackLog(tmp_path / "up.log") as log:
        log.write("gateway", json.dumps(line | {"request_id": "req-1", "tenant": "acme"}))
        log.write("mill", "gateway ended with status -9; starting it again")
    first, second = (tmp_path / "up.log").read_text().splitlines()
    assert first == (
        f"{'gateway':>17} 2026-12-02T23:00:01.234 INFO GET / 200 request_id=req-1 tenant=acme"
    )
    assert re.fullmatch(r" +mill \d{4}-\S+T\S+ gateway ended with status -9; .*", second)


def test_a_second_log_on_the_folder_takes_nothing_of_the_first(tmp_path: Path) -> None:
    with StackLog(tmp_path / "up.log") as first:
        first.write("nats", "first")
        with StackLog(tmp_path / "up.log"):
            first.write("nats", "still")
    assert (tmp_path / "up.log").read_text().split() == ["nats", "first", "nats", "still"]
    assert (tmp_path / "up.log").stat().st_mode & 0o777 == 0o600


def test_a_log_has_two_files_at_most(tmp_path: Path) -> None:
    line = "x" * (KEPT_BYTES // 4)
    with StackLog(tmp_path / "up.log") as log:
        for _ in range(12):
            log.write("nats", line)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 3 * KEPT_BYTES


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "up.log").symlink_to("/dev/full")
    with StackLog(tmp_path / "up.log") as log:
        log.write("nats", "hello")
    assert "hello" in log.last_words()
    assert os.path.islink(tmp_path / "up.log")


@pytest.mark.parametrize(
    ("line", "news"),
    [
        ("[7] 2026/11/28 16:00:00.1 [INF] Server is ready", False),
        ("[7] 2026/11/28 16:00:00.1 [WRN] Healthcheck failed", True),
        ('{"level": "INFO", "message": "POST /generate 200"}', False),
        ('{"level": "ERROR", "message": "no"}', True),
        ("ended with status -9; starting it again", True),
    ],
)
def test_what_a_person_wants_to_see_at_once_is_news(line: str, news: bool) -> None:
    assert is_news(line) == news
