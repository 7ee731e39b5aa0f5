"""A run that is interrupted, however and whenever, ends as the run that was not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainer.domain.hyper_parameters import decide
from trainer.domain.train_request import TrainRequest

pytestmark = pytest.mark.heavy

SCRIPT = Path(__file__).parent / "support" / "kill_and_resume.py"
PREEMPTED = 3 << 8
STEPS = 12

ACCUMULATED = {"batch_size": 6, "gradient_accumulation_steps": 3, "lora_dropout": 0.1}
"""Dropout draws from torch's generator, so its state counts too."""
FULL = {"batch_size": 6, "gradient_accumulation_steps": 1, "weight_decay": 0.1}


@pytest.mark.parametrize(("method", "given"), [("lora", ACCUMULATED), ("full", FULL)])
def test_weights_optimizer_and_generators_are_those_of_an_uninterrupted_run(
    tmp_path: Path,
    tiny_base: Path,
    toy_rows: Callable[..., list[dict[str, Any]]],
    write_splits: Callable[..., Path],
    method: str,
    given: dict[str, Any],
) -> None:
    rows = write_splits(
        tmp_path / "rows",
        {"train": toy_rows(27), "valid": toy_rows(3, first=27), "test": toy_rows(6, first=30)},
    )
    choices = {"max_steps": STEPS, "epochs": 3, "checkpoint_steps": 3, "learning_rate": 0.01}
    request = TrainRequest(
        base_folder=tiny_base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=rows,
        checkpoint_folder=None,
        choices=("animal", "plant", "food"),
        hyper_parameters=decide(method, choices | given),
        threads=1,
    )
    interruptions = [
        # Before the first checkpoint, on one, behind one, in the middle of saving one.
        {"die_at": 2},
        {"die_at": 3},
        {"die_at": 5},
        {"die_at": 6, "die_while_saving": True},
        {"stop_at": 7},
        {"die_at": 11},
        {"die_at": 12, "die_while_saving": True},
    ]
    order = {"root": str(tmp_path), "request": request.as_json(), "interruptions": interruptions}

    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    killed = signal.SIGKILL.value
    assert report["statuses"] == [killed, killed, killed, killed, PREEMPTED, killed, killed]
    assert report["ended"] == [0, 0]
    assert len(report["unbroken"]["losses"]) == STEPS
    assert report["interrupted"] == report["unbroken"]
