"""Trains in forked processes that kill themselves, and prints what the last one left.

Started by test_resuming.py and `make chaos` with requests, a scratch folder and, for each request,
runs: lists of interruptions, one for each attempt before the last. torch is imported once and the
attempts are forked from here before it has started a thread, so that many runs are cheap.
"""

import gc
import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from modelmill_jobs.child import Preempted
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.training import run_setup
from modelmill_trainer.training.fine_tune import fine_tune
from modelmill_trainer.training.model import TrainedModel


class DyingPort:
    """A port whose process is struck right after a step, and whose checkpoints last."""

    def __init__(self, request: dict[str, Any], folder: Path, durable: Path) -> None:
        self.folder = folder
        self.durable = durable
        kept = sorted(durable.glob("*"), key=lambda path: int(path.name))
        self.request = request | {"checkpoint_folder": str(kept[-1]) if kept else None}
        self.stop_requested = False
        self.die_at = -1
        self.die_while_saving = False
        self.stop_at = -1
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        self.stop_requested = True

    def report(self, phase: str, *, done: int = 0, **_rest: Any) -> None:
        if phase != "train":
            return
        if done == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if done == self.die_at and not self.die_while_saving:
            os.kill(os.getpid(), signal.SIGKILL)

    def checkpoint(self, folder: Path, step: int) -> None:
        if self.die_while_saving and step >= self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        shutil.copytree(folder, self.durable / str(step))


def forked(root: Path, request: dict[str, Any], **behaviour: Any) -> tuple[int, Path]:
    """Run once in a process of its own; its wait status, and its folder."""
    folder = root / f"attempt-{len(list(root.glob('attempt-*')))}"
    folder.mkdir(parents=True)
    durable = root / "durable"
    durable.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        port: Any = DyingPort(request, folder, durable)
        for name, value in behaviour.items():
            setattr(port, name, value)
        try:
            result = fine_tune(port)
            (folder / "result.json").write_text(json.dumps(result))
            os._exit(0)
        except Preempted:
            os._exit(3)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1], folder


def hashes(root: Path, folder: Path) -> dict[str, Any]:
    """What must not depend on how often the run was interrupted."""

    def sha256(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    last = max((root / "durable").glob("*"), key=lambda path: int(path.name))
    state = json.loads((last / "state.json").read_text())
    lines = (folder / "model" / "metrics.jsonl").read_text().splitlines()
    figures = [json.loads(line) for line in lines]
    return {
        "adapter": sha256(next(iter((folder / "model").glob("*model.safetensors")))),
        "weights": sha256(last / "weights.safetensors"),
        "optimizer": sha256(last / "optimizer.safetensors"),
        "random": state["random"],
        "position": state["position"],
        "losses": [(line["step"], line["loss"], line["learning_rate"]) for line in figures],
        "evaluation": (folder / "model" / "evaluation.json").read_text(),
    }


def compare(root: Path, request: dict[str, Any], runs: list[list[Any]]) -> dict[str, Any]:
    """Let one run be, interrupt the others as told, and describe all."""
    ended, folder = forked(root / "unbroken", request)
    report: dict[str, Any] = {"ended": ended, "unbroken": hashes(root / "unbroken", folder)}
    report["interrupted"] = []
    for number, interruptions in enumerate(runs):
        place = root / f"run-{number}"
        statuses = [forked(place, request, **behaviour)[0] for behaviour in interruptions]
        ended, folder = forked(place, request)
        left = {"statuses": statuses, "ended": ended, "left": hashes(place, folder)}
        report["interrupted"].append(left)
        shutil.rmtree(place)
        print(json.dumps({"done": number + 1}), flush=True)
    return report


def main() -> None:
    """Compare for each request of the order on stdin, and print what came of it."""
    order = json.loads(sys.stdin.read())
    requests = order["requests"]
    # transformers and PEFT import most of themselves when a model is made: before forking, once.
    for request in requests.values():
        wanted = TrainRequest.from_json(request)
        TrainedModel.load(wanted.base_folder, wanted.hyper_parameters, "")
    # The machine is measured once, and what is here already is no garbage of any attempt's.
    peak = run_setup.peak_flops(torch.float32)
    run_setup.peak_flops = lambda _dtype: peak
    gc.freeze()
    report = {
        name: compare(Path(order["root"]) / name, request, order["runs"])
        for name, request in requests.items()
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
