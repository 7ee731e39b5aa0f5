"""Ranks on other machines: what is said by files arrives whole, in order and both ways."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelmill_trainer.launching.folder_links import FarRank, FolderLinks
from modelmill_trainer.training.distributed.process_names import FOLDER

RANK = """
import os, threading
from pathlib import Path
from modelmill_jobs.child import Preempted, run_child_main
from modelmill_trainer.training.distributed.folder_port import attach

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


def start(links: FolderLinks, *, silence: float = 60.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RANK.replace("SILENCE", str(silence))],
        env=os.environ | {FOLDER: str(links.path), "RANK": "0"},
        start_new_session=True,
    )


def next_said(links: FolderLinks) -> tuple[FarRank, dict[str, Any]]:
    said = links.heard(20)
    assert said is not None
    return said


@pytest.mark.timeout(60)
def test_a_rank_reports_saves_and_answers(tmp_path: Path) -> None:
    links = FolderLinks({"order": "save"}, tmp_path, 1)
    assert links.ranks == []
    process = start(links)

    rank, report = next_said(links)
    assert (report["type"], report["done"]) == ("progress", 1)
    assert links.ranks == [rank]
    _, checkpoint = next_said(links)
    assert checkpoint["folder"] == str(tmp_path / "rank-0")
    assert links.heard(0.5) is None
    rank.send({"saved_step": 1})
    _, result = next_said(links)

    assert result == {"type": "succeeded", "result": {"folder": str(tmp_path / "rank-0")}}
    assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_rank_is_told_to_stop(tmp_path: Path) -> None:
    links = FolderLinks({"order": "wait"}, tmp_path, 1)
    process = start(links)
    rank, _ = next_said(links)

    rank.stop()

    assert next_said(links)[1] == {"type": "preempted"}
    assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_a_rank_to_which_nobody_listens_any_more_ends_itself(tmp_path: Path) -> None:
    links = FolderLinks({"order": "wait"}, tmp_path, 1)
    process = start(links, silence=1.0)
    next_said(links)

    assert process.wait(20) == -signal.SIGKILL


def test_a_word_that_is_only_half_written_is_not_heard_yet(tmp_path: Path) -> None:
    links = FolderLinks({}, tmp_path, 1)
    with (links.path / "rank-0.out").open("a") as says:
        says.write('{"type": "preempted"}\n{"type": "suc')
        says.flush()
        assert links.heard(0)
        assert links.heard(0) is None
        says.write('ceeded"}\n')
        says.flush()

        assert next_said(links)[1] == {"type": "succeeded"}
