"""Ranks of this machine: they hear and are heard, and none outlives whoever speaks for them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelmill_trainer.launching.launcher import DISCONNECTED
from modelmill_trainer.launching.socket_channel import LocalRank, SocketChannel
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
LAUNCHER = """
import sys
from pathlib import Path
from modelmill_trainer.launching.socket_channel import SocketChannel

with SocketChannel({"order": "wait"}, Path(sys.argv[1])) as channel:
    print(channel.path, flush=True)
    while True:
        if channel.receive(1) is not None:
            print("received", flush=True)
"""


def start(path: Path, rank: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RANK],
        env=os.environ | {SOCKET: str(path), "RANK": str(rank)},
        start_new_session=True,
    )


def next_message(channel: SocketChannel) -> tuple[LocalRank, dict[str, Any]]:
    said = channel.receive(20)
    assert said is not None
    return said


@pytest.mark.timeout(60)
def test_ranks_report_checkpoint_and_return_results(tmp_path: Path) -> None:
    with SocketChannel({"order": "save"}, tmp_path) as channel:
        processes = [start(channel.path, rank) for rank in (0, 1)]
        receive: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
        while not all(said and said[-1] == DISCONNECTED for said in receive.values()):
            rank, message = next_message(channel)
            receive[rank.number].append(message)
            if message["type"] == "checkpoint":
                rank.send({"saved_step": 1})

        for number, process in enumerate(processes):
            folder = str(tmp_path / f"rank-{number}")
            types = [message["type"] for message in receive[number]]
            assert types == ["progress", "checkpoint", "succeeded", "gone"]
            assert receive[number][2]["result"] == {"folder": folder}
            assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_stop_request_reaches_a_rank_and_a_killed_rank_is_detected(tmp_path: Path) -> None:
    with SocketChannel({"order": "wait"}, tmp_path) as channel:
        stopped = start(channel.path)
        rank, _ = next_message(channel)
        rank.stop()
        assert next_message(channel)[1] == {"type": "preempted"}
        assert next_message(channel) == (rank, DISCONNECTED)
        assert stopped.wait(20) == 0

        killed = start(channel.path, rank=1)
        other, _ = next_message(channel)
        killed.kill()
        assert next_message(channel) == (other, DISCONNECTED)
        assert killed.wait(20) == -signal.SIGKILL


@pytest.mark.timeout(60)
def test_no_rank_is_left_when_the_run_is_over(tmp_path: Path) -> None:
    with SocketChannel({"order": "wait"}, tmp_path) as channel:
        process = start(channel.path)
        next_message(channel)

    assert process.wait(20) == -signal.SIGKILL
    assert not channel.path.parent.exists()


@pytest.mark.timeout(60)
def test_a_rank_ends_when_its_launcher_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        rank = start(Path(launcher.stdout.readline().strip()))
        assert launcher.stdout.readline() == "received\n"
        assert rank.poll() is None

        launcher.kill()

    assert rank.wait(20) == -signal.SIGKILL
