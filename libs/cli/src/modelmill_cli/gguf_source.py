"""GGUF files as model folders, by a process that has transformers."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from modelmill_service_kit.child_process import environment_for_children
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_cli.hub_downloads import downloads_of
from modelmill_cli.state_folder import StateFolder, owner_only

CONVERTER = "modelmill_trainer.convert_gguf"
NEEDED = ("modelmill_trainer", "gguf")
LEAST_SECONDS, BYTES_A_SECOND = 600, 1_000_000
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""The file is all that it may read."""


def made_of_gguf(state: StateFolder, file: Path) -> Path:
    """The folder of a model that transformers makes of a file.

    Raises:
        PreconditionError: What reads it is not installed.
        InvalidInputError: transformers cannot read it, or its tokenizer is corrupt.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise PreconditionError(
            f"GGUF files are read with {missing[0]}, which is not installed. Install"
            " modelmill[train]"
        )
    folder = downloads_of(state) / "gguf" / file.stem
    shutil.rmtree(folder, ignore_errors=True)
    with owner_only():
        folder.mkdir(parents=True)
    problem = _problem(file.resolve(), folder)
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise InvalidInputError(f"{file.name}: {problem}")
    return folder


def _problem(file: Path, folder: Path) -> str:
    command = [sys.executable, "-m", CONVERTER, str(file), str(folder)]
    seconds = LEAST_SECONDS + file.stat().st_size // BYTES_A_SECOND
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            env={**environment_for_children(), **ENVIRONMENT},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it was not converted in {seconds} s. Import it as safetensors"
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    if ended.returncode != 0 or not lines:
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
        return f"its conversion ended with {ended.returncode}: {said[-1][:300]}"
    return str(json.loads(lines[-1])["problem"])
