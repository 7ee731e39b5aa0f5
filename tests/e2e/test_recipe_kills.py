"""`mill run` that is struck in any step, and run again, makes what it would have made.

Each run has a stack of its own, which dies with it: broker, services and work processes. What is
made is compared by the digest of each file: rows, weights, tokenizer and configuration. The model
card and the figures of speed say how long it took, and are left out.
"""

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from modelmill_registry.store import FolderStore
from modelmill_testkit.models import make_tiny_llama

from tests.e2e.conftest import write_rows

pytestmark = [pytest.mark.tier("drills"), pytest.mark.timeout(600)]

RECIPE = """name: kinds
base: ../base
data:
  files: ../rows.jsonl
  mapping: {user_template: "{word}: {gloss}", answer_template: "{label}"}
training:
  hyperparameters:
    {learning_rate: 0.01, epochs: 2, batch_size: 8, lora_rank: 4, checkpoint_steps: 3}
require_learned: false
"""
MOMENTS = (
    *("done  base", "done  files", "dataset: running", "dataset: write"),
    *("training: load", "training: train  ", "training: evaluate tuned", "training: save"),
    *("build: export", "build: score", "done  build"),
)
"""What the run has just said when it is struck."""
FORMS = {"chat-jsonl", "safetensors", "adapter", "openvino-int8"}
"""Dataset, base, what was trained, and its build."""
ABOUT_TIME = ("README.md", "curves.svg")
SPEED = {"tokens_per_second", "utilisation"}


async def run(folder: Path, *, strike_at: str = "", number: int = 0) -> tuple[int, str]:
    """Status and words of a run; struck once it has said `strike_at`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelmill_cli.main", "--state", str(folder / "state")),
        *("run", str(folder / "recipe.yaml")),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    said = ""
    while line := (await process.stdout.readline()).decode():
        said += line
        if strike_at and strike_at in line:
            process.send_signal(number)
            strike_at = ""
    assert not strike_at, f"it never said {strike_at!r}:\n{said}"
    return await process.wait(), said + (await errors).decode()


async def finished(folder: Path) -> set[tuple[str, str, str]]:
    """What a run made that goes on to its end: form, file and digest of datasets and models."""
    status, said = await run(folder)
    assert status == 0, said
    return set(made_in(folder / "state" / "artifacts"))


def made_in(artifacts: Path) -> Iterator[tuple[str, str, str]]:
    """Whatever was made, also where the clock decided that another version is served."""
    store = FolderStore(artifacts)
    for file in (artifacts / "manifests").iterdir():
        manifest = store.manifest(digest := f"sha256:{file.stem}")
        if manifest.kind not in ("dataset", "model"):
            continue
        for entry in manifest.files:
            if entry.path not in ABOUT_TIME:
                content = store.content(digest, entry.path)
                yield manifest.form, entry.path, sha256(timeless(entry.path, content)).hexdigest()


def timeless(path: str, content: bytes) -> bytes:
    """A file's content; of the metrics of steps, what does not depend on the clock."""
    if path != "metrics.jsonl":
        return content
    steps = map(json.loads, content.splitlines())
    kept = [{name: step[name] for name in step.keys() - SPEED} for step in steps]
    return json.dumps(kept, sort_keys=True).encode()


def prepared(shared: Path, name: str) -> Path:
    folder = shared / name
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base and the rows of all runs."""
    folder = tmp_path_factory.mktemp("recipes")
    make_tiny_llama(folder / "base")
    write_rows(folder / "rows.jsonl", 80)
    return folder


@pytest.fixture(scope="module")
def undisturbed(shared: Path) -> set[tuple[str, str, str]]:
    """What a run makes that nothing happens to."""
    return asyncio.run(finished(prepared(shared, "undisturbed")))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill-9", "ctrl-c"])
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_run_that_is_struck_ends_like_one_that_is_not(
    shared: Path, undisturbed: set[tuple[str, str, str]], moment: str, number: int
) -> None:
    assert {form for form, _, _ in undisturbed} == FORMS
    name = re.sub(r"\W+", "-", f"{moment} {number}")
    folder = prepared(shared, name)

    status, said = await run(folder, strike_at=moment, number=number)
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130), said

    assert await finished(folder) == undisturbed
