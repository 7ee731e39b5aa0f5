"""Our side of train.lora, and its matrix product: the trainer's own loop, a few steps at a time.

Arguments: the base model's folder, steps in all, rows a step. Question: {"steps"} or
{"product": true}. Answer: {"seconds", "tokens", "loss", "flops", "peak_bytes", "loaded_bytes"}, or
{"flops"} a second of the product.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from modelmill_jobs.child import ChildPort
from modelmill_service_kit.machine_size import resident_memory
from modelmill_trainer.training.failures import peak_bytes
from modelmill_trainer.training.loop import TrainingLoop
from modelmill_trainer.training.model import TrainedModel, compute_dtype

from tests.bench.train_task import choices_for, examples_and_plan, scratch_folder
from tests.bench.worker import Bench

PRODUCT_SIZE, PRODUCTS = 2048, 12


class PacedPort(ChildPort):
    """Lets the loop go on for as many steps as are asked for, and waits in between."""

    def __init__(self, folder: Path, bench: Bench) -> None:
        super().__init__({}, folder, report_fd=-1)
        self._bench = bench
        self._left = 0
        self.loop: TrainingLoop
        self._begun = (0.0, 0, 0.0)
        self.loaded_bytes = 0

    def report(
        self,
        phase: str,
        *,
        done: int = 0,
        total: int = 0,
        unit: str = "",
        metrics: Mapping[str, float] | None = None,
        max_silence_seconds: float = 60.0,
    ) -> None:
        """Called by the loop before its first step and after each."""
        self._left -= 1
        if self._left > 0:
            return
        progress = self.loop.progress
        if done:
            seconds, tokens, flops = self._begun
            self._bench.answer(
                {
                    "seconds": progress.seconds - seconds,
                    "tokens": progress.tokens - tokens,
                    "loss": progress.last_loss,
                    "flops": progress.flops - flops,
                    "peak_bytes": peak_bytes(),
                    "loaded_bytes": self.loaded_bytes,
                }
            )
        self._wait()
        self._begun = (progress.seconds, progress.tokens, progress.flops)

    def checkpoint(self, folder: Path, step: int) -> None:
        """Nobody will go on from it."""

    def _wait(self) -> None:
        while (question := self._bench.question()) is not None:
            if "steps" in question:
                self._left = question["steps"]
                return
            self._bench.answer({"flops": product_flops()})
        raise SystemExit


def product_flops() -> float:
    """Operations a second of a large matrix product in the format that LoRA computes in."""
    dtype = compute_dtype()
    left, right = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, dtype=dtype) for _ in range(2))
    out = torch.mm(left, right)
    best = float("inf")
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        best = min(best, time.perf_counter() - started)
    return 2.0 * PRODUCT_SIZE**3 / best


def main() -> None:
    """Train until nobody asks any more."""
    bench = Bench()
    base, steps, rows = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    examples, plan = examples_and_plan(base, steps, rows)
    choices = choices_for(steps, rows)
    folder = scratch_folder()
    try:
        port = PacedPort(folder, bench)
        model = TrainedModel.load(base, choices, "base")
        port.loaded_bytes = resident_memory(os.getpid())
        port.loop = TrainingLoop(model, examples, plan, choices, port)
        port.loop.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
