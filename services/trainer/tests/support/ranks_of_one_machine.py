"""Trains in forked ranks, some of which kill themselves, and prints what they left.

Started by test_ranks.py, and by hand through kill_ranks.py, with an order on stdin: a folder, and
runs by name, each with a request and the interruptions that it suffers. Libraries are imported once
and ranks are forked from here before they have started a thread, so that many runs are cheap; how
ranks are started and ended for real, test_launching.py says.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from jobs.child import ChildFailure, Preempted
from testkit.ports import free_port
from trainer.domain.train_request import TrainRequest
from trainer.launching.run_ranks import for_these_ranks
from trainer.training import model as model_module
from trainer.training.distributed.division import ZeroDivision
from trainer.training.fine_tune import fine_tune
from trainer.training.model import TrainedModel

PREEMPTED = 3
REFUSED = 4


class RankPort:
    """A port of a rank that dies by SIGKILL right after a step, and whose checkpoints last."""

    def __init__(self, request: dict[str, Any], folder: Path, durable: Path, rank: int) -> None:
        self.folder = folder
        self.request = request
        self.stop_requested = False
        self._durable = durable
        self._rank = rank
        self.rank = 0
        """The one that suffers what follows."""
        self.die_at = -1
        self.die_while_saving = False
        self.stop_at = -1

    def report(self, phase: str, *, done: int = 0, **_rest: Any) -> None:
        if phase != "train" or self._rank != self.rank:
            return
        if done == self.stop_at:
            self.stop_requested = True
        if done == self.die_at and not self.die_while_saving:
            os.kill(os.getpid(), signal.SIGKILL)

    def checkpoint(self, folder: Path, step: int) -> None:
        if self.die_while_saving and step >= self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        shutil.copytree(folder, self._durable / str(step))


def attempt(root: Path, request: dict[str, Any], behaviour: dict[str, Any]) -> tuple[int, Path]:
    """Run all ranks once; the status of the first that ended badly, or 0, and the run's folder."""
    folder = root / f"attempt-{len(list(root.glob('attempt-*')))}"
    durable = root / "durable"
    durable.mkdir(parents=True, exist_ok=True)
    behaviour = dict(behaviour)
    kept = sorted(durable.glob("*"), key=lambda path: int(path.name))
    request = request | {"checkpoint_folder": str(kept[-1]) if kept else None}
    if request["distribution"]:
        ranks = behaviour.pop("ranks", request["distribution"]["ranks"])
        request["distribution"] = request["distribution"] | {"ranks": ranks}
        folder.mkdir()
        parsed = TrainRequest.from_json(request)
        request["checkpoint_folder"] = str(for_these_ranks(parsed, folder) or "") or None
    else:
        ranks = 1
    port, pids = str(free_port()), []
    for rank in range(ranks):
        scratch = folder / f"rank-{rank}"
        scratch.mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks}
            os.environ.update({name: str(value) for name, value in environment.items()})
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, GLOO_SOCKET_IFNAME="lo")
            rank_port = RankPort(request, scratch, durable, rank)
            vars(rank_port).update(behaviour)
            _run(rank_port)
        pids.append(pid)
    return _ended(pids), folder


def _run(port: Any) -> None:
    try:
        if port.request["distribution"] is None:
            result = fine_tune(port)
        else:
            with ZeroDivision.joined(port.request) as division:
                result = fine_tune(port, division)
        (port.folder / "result.json").write_text(json.dumps(result))
        os._exit(0)
    except Preempted:
        os._exit(PREEMPTED)
    except ChildFailure as failure:
        print(failure, file=sys.stderr, flush=True)
        os._exit(REFUSED)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _ended(pids: list[int]) -> int:
    """As the launcher does it: where one is gone, all others go."""
    worst, left = 0, set(pids)
    while left:
        pid, status = os.waitpid(-1, 0)
        left.discard(pid)
        if status and not worst:
            worst = status
            if status != PREEMPTED << 8:
                for other in left:
                    os.kill(other, signal.SIGKILL)
    return worst


def left(root: Path, folder: Path) -> dict[str, Any]:
    """What must not depend on how often the run was interrupted."""

    def sha256(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    last = max((root / "durable").glob("*"), key=lambda path: int(path.name))
    states = [json.loads(path.read_text()) for path in sorted(last.glob("**/state.json"))]
    model = folder / "rank-0" / "model"
    figures = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    names = ("step", "loss", "learning_rate", "grad_norm", "tokens", "valid_loss")
    return {
        "model": sha256(next(iter(model.glob("*model.safetensors")))),
        "optimizer": [sha256(path) for path in sorted(last.glob("**/optimizer.safetensors"))],
        "random": [state["random"] for state in states],
        "positions": [state["position"] for state in states],
        "steps": [{name: line[name] for name in names if name in line} for line in figures],
        "evaluation": (model / "evaluation.json").read_text(),
        "folder": str(model),
        "files": sorted(path.name for path in model.iterdir()),
    }


def run(root: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """One run with all its interruptions."""
    statuses = [attempt(root, wanted["request"], each)[0] for each in wanted["interruptions"]]
    last = wanted.get("last", {})
    ended, folder = attempt(root, wanted["request"], last)
    return {"statuses": statuses, "ended": ended} | ({} if ended else left(root, folder))


def main() -> None:
    """Do the order on stdin, and print what came of it."""
    order = json.loads(sys.stdin.read())
    first = TrainRequest.from_json(next(iter(order["runs"].values()))["request"])
    # transformers and PEFT import most of themselves when a model is made: before forking, once.
    TrainedModel.load(first.base_folder, first.hyper_parameters, "")
    # Where a processor has bfloat16, one process would keep frozen weights in it.
    model_module.compute_dtype = lambda _method: torch.float32
    report = {name: run(Path(order["root"]) / name, each) for name, each in order["runs"].items()}
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
