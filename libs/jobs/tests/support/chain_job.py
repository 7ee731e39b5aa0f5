"""The work of the tests: a chain of hashes, whose end proves that no step was lost or doubled.

Run as a child (`python -m chain_job`). Needs nothing but the standard library.
"""

import errno
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure, ChildPort, Preempted, run_child_main


def link(previous: str, job_id: str, step: int) -> str:
    """The chain after one more step."""
    return hashlib.sha256(f"{previous}{job_id}{step}".encode()).hexdigest()


def chain(job_id: str, steps: int) -> str:
    """The end of a whole chain."""
    value = ""
    for step in range(1, steps + 1):
        value = link(value, job_id, step)
    return value


def work(port: ChildPort) -> Mapping[str, Any]:
    asked = port.request
    value, first = asked["value"], asked["step"]
    if reason := asked.get("refuse"):
        raise ChildFailure("REFUSED", reason, "ask for something else")
    if questions := asked.get("questions"):
        return {"value": ask(port, int(questions))}
    for step in range(first + 1, asked["steps"] + 1):
        time.sleep(asked.get("step_seconds", 0.0))
        misbehave(port, step)
        if step == asked.get("compute_at"):
            compute_on_the_first_core(asked["compute_seconds"])
        value = link(value, asked["job_id"], step)
        port.report(
            "chain",
            done=step,
            total=asked["steps"],
            unit="step",
            metrics={"step_metric": step},
            max_silence_seconds=asked.get("max_silence_seconds", 30.0),
        )
        if step % asked.get("save_every", 5) == 0 or port.stop_requested:
            save(port, value, step)
        if port.stop_requested:
            raise Preempted
    return {"value": value, "began_at": first}


def ask(port: ChildPort, questions: int) -> str:
    """The answers in the order of the questions, as text."""
    at_once = int(port.request.get("at_once", 3))
    heard = dict(port.ask(({"number": number} for number in range(questions)), at_once=at_once))
    return " ".join(str(heard[number]) for number in range(questions))


def save(port: ChildPort, value: str, step: int) -> None:
    folder = port.folder / f"step-{step}"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({"value": value, "step": step}))
    port.checkpoint(folder, step)


def compute_on_the_first_core(seconds: float) -> None:
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def misbehave(port: ChildPort, step: int) -> None:
    """What the spec asks for at this step."""
    asked = port.request
    if step == asked.get("die_at"):
        print("about to die", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if 0 < asked.get("wait_at", 0) <= step:
        go_file = asked.get("go_file")
        while not port.stop_requested and not (go_file and Path(go_file).exists()):
            time.sleep(0.01)
    if step == asked.get("raise_at"):
        raise ArithmeticError("the chain broke")
    if step == asked.get("full_at"):
        raise OSError(errno.ENOSPC, "no space left on device")
    if step == asked.get("deaf_at"):
        Path(asked["waiting_file"]).touch()
        while not port.stop_requested:
            time.sleep(0.01)
        Path(asked["pid_file"]).write_text(str(os.getpid()))
        time.sleep(600)
    if step == asked.get("hang_at"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(asked["pid_file"]).write_text(str(os.getpid()))
        time.sleep(600)


if __name__ == "__main__":
    run_child_main(work)
