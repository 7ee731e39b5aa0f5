"""A training run is struck once, right after each of its steps in turn, and goes on.

Every run has the tiny model and its own state; `left` of a run is what the trainer's own test of
resuming compares: the SHA-256 of weights, optimizer and result, the generators, every step's loss.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from modelmill_testkit.models import make_tiny_llama
from modelmill_token_files.token_file import TrainingOrder
from modelmill_token_files.token_folder import TokenFolder
from modelmill_token_files.tokenizer_digest import tokenizer_digest
from modelmill_token_files.tokens_plan import TOKEN_ROWS, TokensPlan
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from modelmill_trainer.domain.child_requests import TrainRequest
from modelmill_trainer.domain.hyper_parameters import decide

from tests.chaos.training_site import write_rows

SCRIPT = Path("services/trainer/tests/support/kill_and_resume.py")
STEPS, SAVE_EVERY = 20, 3
STRIKES = {"SIGKILL": "die_at", "SIGTERM": "stop_at"}
ENDS = {"SIGKILL": int(signal.SIGKILL), "SIGTERM": 3 << 8}
"""How an attempt ends that was struck: by the signal, or as preempted."""
MODES: Mapping[str, tuple[str, Mapping[str, float]]] = {
    # Dropout draws from torch's generator, so its state counts too.
    "plain": ("lora", {"batch_size": 1, "gradient_accumulation_steps": 1, "lora_dropout": 0.1}),
    "accumulation": ("full", {"batch_size": 6, "gradient_accumulation_steps": 3}),
    "packed": ("lora", {"batch_size": 12, "gradient_accumulation_steps": 2, "lora_rank": 4}),
    "curriculum": ("lora", {"batch_size": 4, "gradient_accumulation_steps": 2}),
}
FROM_TOKENS = ("packed", "curriculum")


@dataclass(frozen=True)
class ModeKills:
    """The runs of one mode."""

    mode: str
    runs: int
    struck: int
    """Of which the signal ended an attempt as it should."""
    equal: int
    """That left what the run left that nobody struck."""


@dataclass(frozen=True)
class StepKills:
    """All of them."""

    steps: int
    modes: list[ModeKills]

    @property
    def kept(self) -> bool:
        """Whether each run was struck and left the same."""
        return all(mode.runs == mode.struck == mode.equal for mode in self.modes)


async def kill_each_step(folder: Path, tell: Callable[[int], None]) -> StepKills:
    """Strike a run of each mode at every step with every signal; `tell` hears of each run."""
    base = make_tiny_llama(folder / "base")
    requests = {mode: _request(mode, base, folder / mode) for mode in MODES}
    strikes = [(name, {key: at}) for name, key in STRIKES.items() for at in range(1, STEPS + 1)]
    order = {
        "root": str(folder / "runs"),
        "requests": {mode: request.as_json() for mode, request in requests.items()},
        "runs": [[interruption] for _, interruption in strikes],
    }
    told = await _run(order, tell)
    return StepKills(STEPS, [_judged(mode, told[mode], strikes) for mode in MODES])


def _judged(mode: str, told: Mapping[str, Any], strikes: list[tuple[str, Any]]) -> ModeKills:
    runs = told["interrupted"]
    struck = [
        run["statuses"] == [ENDS[name]] and run["ended"] == 0
        for run, (name, _) in zip(runs, strikes, strict=True)
    ]
    whole = told["ended"] == 0 and len(told["unbroken"]["losses"]) == STEPS
    equal = [whole and run["left"] == told["unbroken"] for run in runs]
    return ModeKills(mode, len(runs), sum(struck), sum(equal))


async def _run(order: Mapping[str, Any], tell: Callable[[int], None]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # DeepSpeed, where it is installed, says on stdout which device it has found by itself.
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "DS_ACCELERATOR": "cpu"},
        # One line has what all runs left.
        limit=1 << 26,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(order).encode())
    process.stdin.close()
    told: dict[str, Any] = {}
    done = 0
    async for line in process.stdout:
        told = json.loads(line)
        done += "done" in told
        tell(done)
    if await process.wait():
        raise RuntimeError(f"{SCRIPT} ended with status {process.returncode}")
    return told


def _request(mode: str, base: Path, folder: Path) -> TrainRequest:
    method, given = MODES[mode]
    rows = write_rows(folder)
    if mode in FROM_TOKENS:
        _write_tokens(rows, base)
    if mode == "curriculum":
        _write_order(rows)
    common = {"max_steps": STEPS, "epochs": 100, "checkpoint_steps": SAVE_EVERY}
    return TrainRequest(
        base_folder=base,
        base_version_id="mv-base",
        context_tokens=512,
        dataset_folder=rows,
        checkpoint_folder=None,
        choices=(),
        hyper_parameters=decide(method, common | {"learning_rate": 0.01} | dict(given)),
        threads=1,
    )


def _rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def _write_tokens(folder: Path, base: Path) -> None:
    """Token ids as data-prep makes them: what the trainer lays out in packs."""
    tokenizer = ChatTokenizer.load(base)
    with TokenFolder(folder) as files:
        for split in ("train", "valid", "test"):
            rows = _rows_of(folder, split)
            examples = [tokenizer.encode_example(row["messages"]) for row in rows]
            columns: list[list[Any]] = [
                [example.ids for example in examples],
                [[example.answer_start] for example in examples],
                [[len(example.ids)] for example in examples],
                [row["row"] for row in rows],
                [None] * len(examples),
            ]
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, TOKEN_ROWS, strict=True)
            ]
            files.append(split, pa.RecordBatch.from_arrays(arrays, schema=TOKEN_ROWS))
        files.finish(
            TokensPlan(
                tokenizer=tokenizer_digest(base), model="tiny", max_tokens=512, pack_tokens=2048
            )
        )


def _write_order(folder: Path) -> None:
    count = len(_rows_of(folder, "train"))
    order = np.random.default_rng(1).permutation(count).astype(np.int64)
    hard, tiers = np.zeros(count, np.float32), np.zeros(count, np.int8)
    TrainingOrder("staged", True, order, hard, tiers).write(folder)
