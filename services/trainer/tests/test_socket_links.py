"""Ranks of this machine: they hear and are heard, and none outlives whoever speaks for them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelmill_trainer.launching.launcher import GONE
from modelmill_trainer.launching.socket_links import LocalRank, SocketLinks
from modelmill_trainer.training.distributed.process_names import SOCKET

RANK = """
import os, threading
from pathlib import Path
from modelmill_jobs.child import Preempted, run_child_main
from modelmill_trainer.training.distributed.rank import connect

def train(port):
    port.report("train", done=os.getpid(), total=2, unit="step")
    if port.request["order"] == "save":
        port.checkpoint(port.folder, 1)
    else:
        while not port.stop_requested:
            threading.Event().wait(0.05)
        raise Preempted
    return {"folder": str(port.folder)}

connect(Path(os.environ["MODELMILL_RANKS_SOCKET"]), int(os.environ["RANK"]))
run_child_main(train, 0)
"""
SPEAKER = """
import sys
from pathlib import Path
from modelmill_trainer.launching.socket_links import SocketLinks

with SocketLinks({"order": "wait"}, Path(sys.argv[1])) as links:
    print(links.path, flush=True)
    while True:
        if (said := links.heard(1)) is not None:
            print("heard", flush=True)
"""


def start(path: Path, rank: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RANK],
        env=os.environ | {SOCKET: str(path), "RANK": str(rank)},
        start_new_session=True,
    )


def next_said(links: SocketLinks) -> tuple[LocalRank, dict[str, Any]]:
    said = links.heard(20)
    assert said is not None
    return said


@pytest.mark.timeout(60)
def test_ranks_report_save_and_answer(tmp_path: Path) -> None:
    with SocketLinks({"order": "save"}, tmp_path) as links:
        processes = [start(links.path, rank) for rank in (0, 1)]
        heard: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
        while not all(said and said[-1] == GONE for said in heard.values()):
            rank, message = next_said(links)
            heard[rank.number].append(message)
            if message["type"] == "checkpoint":
                rank.send({"saved_step": 1})

        for number, process in enumerate(processes):
            folder = str(tmp_path / f"rank-{number}")
            types = [message["type"] for message in heard[number]]
            assert types == ["progress", "checkpoint", "succeeded", "gone"]
            assert heard[number][2]["result"] == {"folder": folder}
            assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_rank_is_told_to_stop_and_one_that_is_killed_is_noticed(tmp_path: Path) -> None:
    with SocketLinks({"order": "wait"}, tmp_path) as links:
        stopped = start(links.path)
        rank, _ = next_said(links)
        rank.stop()
        assert next_said(links)[1] == {"type": "preempted"}
        assert next_said(links) == (rank, GONE)
        assert stopped.wait(20) == 0

        killed = start(links.path, rank=1)
        other, _ = next_said(links)
        killed.kill()
        assert next_said(links) == (other, GONE)
        assert killed.wait(20) == -signal.SIGKILL


@pytest.mark.timeout(60)
def test_no_rank_is_left_when_the_run_is_over(tmp_path: Path) -> None:
    with SocketLinks({"order": "wait"}, tmp_path) as links:
        process = start(links.path)
        next_said(links)

    assert process.wait(20) == -signal.SIGKILL
    assert not links.path.parent.exists()


@pytest.mark.timeout(60)
def test_a_rank_ends_with_the_process_that_speaks_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SPEAKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as speaker:
        assert speaker.stdout is not None
        rank = start(Path(speaker.stdout.readline().strip()))
        assert speaker.stdout.readline() == "heard\n"
        assert rank.poll() is None

        speaker.kill()

    assert rank.wait(20) == -signal.SIGKILL
