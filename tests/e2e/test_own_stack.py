"""`mill run` where nothing runs: everything is started for the run, and stopped behind it."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from modelmill_cli.state_folder import StateFolder
from modelmill_testkit.models import make_tiny_llama

from tests.e2e.conftest import write_rows

pytestmark = [pytest.mark.timeout(300), pytest.mark.tier("journeys")]

RECIPE = """name: kinds
base: ./base
data:
  files: rows.jsonl
  mapping: {user_template: "{word}: {gloss}", answer_template: "{label}"}
training:
  hyperparameters: {learning_rate: 1e-9, max_steps: 1, batch_size: 8, lora_rank: 4}
"""


async def run(folder: Path, *, stop_at: str = "") -> tuple[int, str, str]:
    """Status and words of `mill run`; interrupted once it has said `stop_at`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelmill_cli.main", "--state", str(folder / "state")),
        *("run", str(folder / "recipe.yaml")),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    errors = asyncio.create_task(process.stderr.read())
    while line := (await process.stdout.readline()).decode():
        said += line
        if stop_at and stop_at in line:
            process.send_signal(signal.SIGINT)
            stop_at = ""
    return await process.wait(), said, (await errors).decode()


async def test_a_run_of_its_own_stack_ends_with_the_stack_and_the_next_goes_on(tmp_path: Path):
    make_tiny_llama(tmp_path / "base")
    write_rows(tmp_path / "rows.jsonl", 60)
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    status, said, _ = await run(tmp_path, stop_at="dataset: ")
    assert status == 130
    assert "the same run goes on from here" in said
    assert not StateFolder(tmp_path / "state").runtime_file.exists()

    status, said, errors = await run(tmp_path)
    assert status == 1  # begun, and ended badly
    assert "kept  files" in said
    assert "the model did not learn" in errors
    assert len(errors.splitlines()) == 1
    report = tmp_path / "state" / "recipes" / "kinds.html"
    assert f"report: {report}" in said
    assert "No alias was moved" in report.read_text()
    assert not StateFolder(tmp_path / "state").runtime_file.exists()
