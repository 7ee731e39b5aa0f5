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
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.model import TrainedModel
from trainer_support.runs import pair_rows, stir

SECONDS = 400
"""For two dozen attempts; a minute on two idle cores."""
pytestmark = [pytest.mark.heavy, pytest.mark.tier("drills"), pytest.mark.timeout(SECONDS + 20)]

SCRIPT = Path(__file__).parent / "support" / "kill_and_resume.py"
PREEMPTED = 3 << 8
KILLED = signal.SIGKILL.value
STEPS = 12
INTERRUPTIONS: list[tuple[dict[str, Any], int]] = [
    # Before the first checkpoint, on one, behind one, in the middle of saving one.
    ({"die_at": 2}, KILLED),
    ({"die_at": 3}, KILLED),
    ({"die_at": 5}, KILLED),
    ({"die_at": 6, "die_while_saving": True}, KILLED),
    ({"stop_at": 7}, PREEMPTED),
    ({"die_at": 11}, KILLED),
    ({"die_at": 12, "die_while_saving": True}, KILLED),
]
COMMON = {"max_steps": STEPS, "epochs": 3, "checkpoint_steps": 3, "learning_rate": 0.01}
RUNS = {
    # Dropout draws from torch's generator, so its state counts too. It goes on from an adapter.
    "lora": {
        **{"batch_size": 6, "gradient_accumulation_steps": 3},
        **{"lora_dropout": 0.1, "lora_rank": 4},
    },
    # The base is packed into four bits again by each attempt.
    "qlora": {"batch_size": 6, "gradient_accumulation_steps": 3, "lora_rank": 4},
    # What is compared with the base depends on what that was before the first step.
    "full dpo": {"batch_size": 6, "gradient_accumulation_steps": 1, "weight_decay": 0.1},
}

ORDER = [row * 10 % 27 for row in range(27)]


def request_of(name: str, base: Path, dataset: Path) -> dict[str, Any]:
    method, _, objective = name.partition(" ")
    return TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=dataset,
        checkpoint_folder=None,
        choices=() if objective else ("animal", "plant", "food"),
        hyper_parameters=decide(method, COMMON | RUNS[name], objective=objective or "answers"),
        threads=1,
        adapter_folder=earlier_adapter(base, dataset) if name == "lora" else None,
    ).as_json()


def earlier_adapter(base: Path, dataset: Path) -> Path:
    """A LoRA adapter that says something already."""
    folder = dataset.with_name("earlier-adapter")
    folder.mkdir()
    model = TrainedModel.load(base, decide("lora", {"lora_rank": 4}), "mv-base")
    stir(model)
    model.save(folder)
    return folder


@pytest.fixture(scope="module")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base: Path,
    toy_rows: Callable[..., list[dict[str, Any]]],
    write_splits: Callable[..., Path],
    write_tokens: Callable[..., Any],
    write_order: Callable[..., None],
) -> dict[str, Any]:
    """What came of each run with all the interruptions, and without any."""
    root = tmp_path_factory.mktemp("resuming")
    # 27 rows and 12 steps of 6: the interruptions lie in three epochs.
    splits = {"train": toy_rows(27), "valid": toy_rows(3, first=27), "test": toy_rows(6, first=30)}
    pairs = splits | {"train": pair_rows(27), "valid": pair_rows(3), "test": []}
    folders = {
        name: write_splits(root / f"rows-{name}", pairs if " " in name else splits) for name in RUNS
    }
    # One run encodes its rows and shuffles them, the other is told both by its dataset.
    write_tokens(folders["full dpo"], tiny_base, pairs)
    write_order(folders["full dpo"], ORDER, repeats=True)
    requests = {method: request_of(method, tiny_base, rows) for method, rows in folders.items()}
    interruptions = [behaviour for behaviour, _ in INTERRUPTIONS]
    order = {"root": str(root), "requests": requests, "runs": [interruptions]}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("method", RUNS)
def test_a_resumed_run_equals_an_uninterrupted_one(report: dict[str, Any], method: str) -> None:
    run = report[method]
    [interrupted] = run["interrupted"]

    assert interrupted["statuses"] == [status for _, status in INTERRUPTIONS]
    assert (run["ended"], interrupted["ended"]) == (0, 0)
    assert len(run["unbroken"]["losses"]) == STEPS
    assert interrupted["left"] == run["unbroken"]
