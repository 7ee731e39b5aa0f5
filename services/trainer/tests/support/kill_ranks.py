"""Kills a divided run at every step, in every way, and compares what is left with an unbroken one.

    .venv/bin/python services/trainer/tests/support/kill_ranks.py [STEPS]

The real work process, torchrun and two ZeRO-3 ranks, by `modelmill_jobs.children` as a worker
starts them; a tiny model. About half a minute for each step and way, on two cores. Prints one line
each, and ends with status 1 when a hash differs or a process is left over.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from modelmill_jobs.children import start_child
from modelmill_service_kit.child_process import ChildProcess
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.processes import children_that_run
from modelmill_testkit.waiting import eventually
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.distributed.process_names import RANK_MODULE

STEPS = 5
CHOICES = ("animal", "plant", "food")


def request_of(root: Path) -> dict[str, Any]:
    """A run of all weights on two ranks; its rows are as many for each rank only by chance."""
    rows = root / "rows"
    rows.mkdir()
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"{number} is {CHOICES[number % 3]}"},
                    {"role": "assistant", "content": CHOICES[number % 3]},
                ],
                "row": number + 1,
            }
        )
        for number in range(27)
    ]
    for split in ("train", "valid", "test"):
        (rows / f"{split}.jsonl").write_text("\n".join(lines) + "\n" if split == "train" else "")
    choices = {"max_steps": STEPS, "epochs": 3, "checkpoint_steps": 1, "learning_rate": 0.01}
    rest = {"batch_size": 5, "gradient_accumulation_steps": 1}
    return TrainRequest(
        base_folder=make_tiny_llama(root / "base"),
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=rows,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("full", choices | rest),
        threads=1,
        distribution=Distribution(ranks=2),
    ).as_json()


def rank_processes(above: int) -> list[psutil.Process]:
    """The ranks that this process or a child of it has started, in their order."""
    launchers = {one.pid for one in children_that_run("torch.distributed.run", of=above)}
    ranks = [one for one in children_that_run(RANK_MODULE, of=above) if one.pid not in launchers]
    return sorted(ranks, key=lambda process: process.environ()["RANK"])


class Run:
    """One run with its attempts."""

    def __init__(self, root: Path, request: dict[str, Any]) -> None:
        self.root = root
        self.request = request
        self.durable = root / "durable"
        self.durable.mkdir(parents=True)

    async def attempt(self, way: str = "", step: int = -1) -> dict[str, Any] | None:
        """Run until it ends, hurt in that way after that step; its last word, if any."""
        folder = self.root / f"attempt-{len(list(self.root.glob('attempt-*')))}"
        folder.mkdir()
        kept = sorted(self.durable.glob("*"), key=lambda path: int(path.name))
        request = self.request | {"checkpoint_folder": str(kept[-1]) if kept else None}
        environment = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
        child = await start_child(
            "modelmill_trainer.child", request, folder=folder, env=environment
        )
        ranks: list[psutil.Process] = []
        last = None
        try:
            async for message in child.messages():
                if message["type"] == "checkpoint":
                    shutil.copytree(message["folder"], self.durable / str(message["step"]))
                    child.send({"saved_step": message["step"]})
                elif message["type"] != "progress":
                    last = message
                elif message["phase"] == "train" and message["done"] == step:
                    ranks = await asyncio.to_thread(rank_processes, child.pid)
                    hurt(way, child, ranks)
            await child.wait()
        finally:
            await child.close()
        await eventually(lambda: asyncio.sleep(0, not any(map(alive, ranks))))
        if last is None and not way:
            raise RuntimeError(child.log_tail())
        return last

    def left(self, result: dict[str, Any]) -> dict[str, str]:
        """Hashes of the model and of the state of both ranks after the last step."""
        folder = Path(result["result"]["folder"])
        last = self.durable / str(STEPS)
        files = [*folder.glob("*.safetensors"), *last.glob("*/*.safetensors")]
        return {
            f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(files)
        }


def hurt(way: str, child: ChildProcess, ranks: list[psutil.Process]) -> None:
    """Do it."""
    if way == "stop":
        child.terminate()
    elif way == "kill the work process":
        os.kill(child.pid, signal.SIGKILL)
    elif way == "kill torchrun":
        ranks[0].parent().send_signal(signal.SIGKILL)
    else:
        ranks[int(way.rpartition(" ")[2])].send_signal(signal.SIGKILL)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


WAYS = ("kill rank 0", "kill rank 1", "kill the work process", "kill torchrun", "stop")


async def compare(root: Path, steps: list[int]) -> bool:
    """Whether everything is as it would have been."""
    request = request_of(root)
    unbroken = Run(root / "unbroken", request)
    ended = await unbroken.attempt()
    assert ended is not None, "the unbroken run has no result"
    expected = unbroken.left(ended)
    print(json.dumps(expected, indent=1), flush=True)
    same = True
    for step in steps:
        for way in WAYS:
            run = Run(root / f"{step}-{way.replace(' ', '-')}", request)
            said = await run.attempt(way, step)
            ended = await run.attempt()
            equal = ended is not None and run.left(ended) == expected
            word = said["type"] if said else "no last word"
            print(f"step {step}, {way}: {word}; {'equal' if equal else 'DIFFERENT'}", flush=True)
            same = same and equal
    return same


def main() -> int:
    """Compare; the steps to hurt at are arguments, else all of them."""
    steps = [int(argument) for argument in sys.argv[1:]] or list(range(1, STEPS + 1))
    with tempfile.TemporaryDirectory() as root:
        return 0 if asyncio.run(compare(Path(root), steps)) else 1


if __name__ == "__main__":
    sys.exit(main())
