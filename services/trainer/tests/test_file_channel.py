"""Ranks on other machines: what is said by files arrives whole, in order and both ways."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelmill_trainer.launching.file_channel import FileChannel, RemoteRank
from modelmill_trainer.training.distributed.process_names import FOLDER

RANK = """
import os, threading
from pathlib import Path
from modelmill_jobs.child import Preempted, run_child_main
from modelmill_trainer.training.distributed.file_port import attach

def train(port):
    port.report("train", done=1, total=2, unit="step")
    if port.request["order"] == "save":
        port.checkpoint(port.folder, 1)
    else:
        while not port.stop_requested:
            threading.Event().wait(0.05)
        raise Preempted
    return {"folder": str(port.folder)}

rank = int(os.environ["RANK"])
hears, says = attach(Path(os.environ["MODELMILL_RANKS_FOLDER"]), rank, silence_seconds=SILENCE)
os.dup2(hears, 0)
run_child_main(train, says)
"""


def start(channel: FileChannel, *, silence: float = 60.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RANK.replace("SILENCE", str(silence))],
        env=os.environ | {FOLDER: str(channel.path), "RANK": "0"},
        start_new_session=True,
    )


def next_said(channel: FileChannel) -> tuple[RemoteRank, dict[str, Any]]:
    said = channel.receive(20)
    assert said is not None
    return said


@pytest.mark.timeout(60)
def test_a_rank_reports_checkpoints_and_returns_a_result(tmp_path: Path) -> None:
    channel = FileChannel({"order": "save"}, tmp_path, 1)
    assert channel.ranks == []
    process = start(channel)

    rank, report = next_said(channel)
    assert (report["type"], report["done"]) == ("progress", 1)
    assert channel.ranks == [rank]
    _, checkpoint = next_said(channel)
    assert checkpoint["folder"] == str(tmp_path / "rank-0")
    assert channel.receive(0.5) is None
    rank.send({"saved_step": 1})
    _, result = next_said(channel)

    assert result == {"type": "succeeded", "result": {"folder": str(tmp_path / "rank-0")}}
    assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_stop_request_reaches_the_rank(tmp_path: Path) -> None:
    channel = FileChannel({"order": "wait"}, tmp_path, 1)
    process = start(channel)
    rank, _ = next_said(channel)

    rank.stop()

    assert next_said(channel)[1] == {"type": "preempted"}
    assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_rank_without_heartbeats_ends_itself(tmp_path: Path) -> None:
    channel = FileChannel({"order": "wait"}, tmp_path, 1)
    process = start(channel, silence=1.0)
    next_said(channel)

    assert process.wait(20) == -signal.SIGKILL


def test_a_partially_written_line_is_not_received(tmp_path: Path) -> None:
    channel = FileChannel({}, tmp_path, 1)
    with (channel.path / "rank-0.out").open("a") as says:
        says.write('{"type": "preempted"}\n{"type": "suc')
        says.flush()
        assert channel.receive(0)
        assert channel.receive(0) is None
        says.write('ceeded"}\n')
        says.flush()

        assert next_said(channel)[1] == {"type": "succeeded"}
