"""Runs of forked ranks (support/ranks_of_one_machine.py), and what came of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.domain.limits import MachinePrice, TrainingLimits

SCRIPT = Path(__file__).parents[1] / "support" / "ranks_of_one_machine.py"
CHOICES = {"checkpoint_steps": 1, "learning_rate": 0.01, "epochs": 1}
# Micro-batches of 2 rows, the last of 1: nothing for the second of 2 ranks.
BATCH = {"batch_size": 4, "gradient_accumulation_steps": 2}

WEIGHT_TOLERANCE = 0.05
"""Of `apart`: Adam's first steps turn the sign of a gradient of rounding's size into a step of full
length, for an element here and there."""


def apart(ours: Any, others: Any) -> float:
    """How far weights are from others, in lengths of these."""
    return float(((ours - others) ** 2).sum() ** 0.5 / (others**2).sum() ** 0.5)


def request_of(
    base: Path,
    dataset: Path,
    ranks: int,
    limits: TrainingLimits,
    price: MachinePrice | None = None,
    **choices: Any,
) -> dict[str, Any]:
    """A run of a LoRA of `base`, as its ranks are asked for it."""
    return TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide("lora", CHOICES | BATCH | choices),
        threads=1,
        distribution=Distribution(ranks=ranks) if ranks > 1 else None,
        limits=limits,
        price=price or MachinePrice(),
    ).as_json()


def outcomes(root: Path, runs: Mapping[str, Any]) -> dict[str, Any]:
    """Do the runs, one after the other; see the script for what they are and leave."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps({"root": str(root), "runs": runs}),
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: run | {"said": done.stderr} for name, run in found.items()}
