"""Trains in forked ranks, some of which kill themselves, and prints what they left.

Started by test_ranks.py, and by hand through kill_ranks.py, with an order on stdin: a folder, and
runs by name, each with a request and the interruptions that it suffers. Libraries are imported once
and ranks are forked from here before they have started a thread, so that many runs are cheap; how
ranks are started and ended for real, test_launching.py says.
"""

import gc
import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildFailure, Preempted
from modelmill_service_kit.large_imports import large_import
from modelmill_testkit.ports import free_port

with large_import("bitsandbytes"):
    import torch
    from modelmill_trainer.domain.child_requests import TrainRequest
    from modelmill_trainer.launching.run_ranks import checkpoint_for_ranks
    from modelmill_trainer.training import goldens as goldens_module
    from modelmill_trainer.training import model as model_module
    from modelmill_trainer.training import run_setup
    from modelmill_trainer.training import validation as validation_module
    from modelmill_trainer.training.cost_meter import CostMeter
    from modelmill_trainer.training.distributed import rank as rank_module
    from modelmill_trainer.training.distributed.zero_update import ZeroUpdate
    from modelmill_trainer.training.fine_tune import fine_tune
    from modelmill_trainer.training.model import TrainedModel

IMPORTED_LATE = (
    "torch._inductor.compile_fx",
    "torch.utils.cpp_extension",
    "deepspeed.module_inject.auto_ep_layer",
)
"""What DeepSpeed imports when a run begins: seven hundred modules, with all that these import."""
HUNGRY: dict[str, tuple[Any, str]] = {
    "step": (ZeroUpdate, "losses"),
    "valid": (validation_module, "held_out_loss"),
}
"""What may get no memory."""
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
        self.no_memory_for = ""
        """"step" or "valid": in this rank, what is computed after its first step gets none."""
        self.seconds_a_look: list[float] = []
        """Of each rank: how much later it is at each look at the clock that limits go by."""
        self.steps = 0

    @property
    def suffers(self) -> bool:
        return self._rank == self.rank

    @property
    def own_seconds_a_look(self) -> float:
        return self.seconds_a_look[self._rank] if self.seconds_a_look else 0.0

    def report(self, phase: str, *, done: int = 0, **_rest: Any) -> None:
        if phase != "train" or not self.suffers:
            return
        self.steps = done
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
        request["checkpoint_folder"] = str(checkpoint_for_ranks(parsed, folder) or "") or None
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
        suffer(port)
        divided = port.request["distribution"] is not None
        result = rank_module.train(port) if divided else fine_tune(port)
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


def suffer(port: Any) -> None:
    """Let this rank have its own clock, or no memory, as it was ordered."""
    if seconds := port.own_seconds_a_look:
        looks = count()
        totals = CostMeter.totals

        def later(accounts: CostMeter) -> tuple[float, float]:
            now = (next(looks) + 1) * seconds
            accounts._clock = lambda: accounts._began + now
            return totals(accounts)

        CostMeter.totals = later  # type: ignore[method-assign]
    if port.no_memory_for and port.suffers:
        module, name = HUNGRY[port.no_memory_for]
        computed = getattr(module, name)

        def hungry(*arguments: Any) -> Any:
            if port.steps:
                raise torch.OutOfMemoryError("as if there were no memory")
            return computed(*arguments)

        setattr(module, name, hungry)


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
        "steps_of_ranks": [
            len(path.read_text().splitlines())
            for path in sorted(folder.glob("rank-*/metrics.jsonl"))
        ],
        "summary": json.loads((folder / "rank-0" / "result.json").read_text())["summary"],
        "files": sorted(path.name for path in model.iterdir()),
    }


def run(root: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """One run with all its interruptions."""
    statuses = [attempt(root, wanted["request"], each)[0] for each in wanted["interruptions"]]
    last = wanted.get("last", {})
    ended, folder = attempt(root, wanted["request"], last)
    return {"statuses": statuses, "ended": ended} | ({} if ended else left(root, folder))


def _unchecked(*_given: Any, **_more: Any) -> None:
    """As if transformers rendered and encoded as training did."""


def main() -> None:
    """Do the order on stdin, and print what came of it."""
    order = json.loads(sys.stdin.read())
    first = TrainRequest.from_json(next(iter(order["runs"].values()))["request"])
    # transformers and PEFT import most of themselves when a model is made: before forking, once.
    with large_import("bitsandbytes"):
        TrainedModel.load(first.base_folder, first.hyper_parameters, "")
        for name in IMPORTED_LATE:
            import_module(name)
    # Where a processor has bfloat16, one process would keep frozen weights in it.
    model_module.compute_dtype = lambda: torch.float32
    # Each imports transformers in one more process; `test_goldens` and `test_divided_job` have it.
    goldens_module.check_in_transformers = _unchecked
    # The machine is measured once, and what is here already is no garbage of any rank's.
    peak = run_setup.peak_flops(torch.float32)
    run_setup.peak_flops = lambda _dtype: peak
    gc.freeze()
    report = {name: run(Path(order["root"]) / name, each) for name, each in order["runs"].items()}
    print("\n" + json.dumps(report))


if __name__ == "__main__":
    main()
