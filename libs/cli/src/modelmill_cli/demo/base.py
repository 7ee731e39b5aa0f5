"""The demo's base model: made once, and imported."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.commands.models import bring_in
from modelmill_cli.gateway import DEFAULT_TENANT
from modelmill_cli.state_folder import StateFolder

DEMO_FOLDER = Path("deploy/demo")
BASE_NAME = "smollm2-135m-instruct"


def bring_base(state: StateFolder) -> str:
    """Make the base model where it is not there yet, and import it; its version.

    Raises:
        PreconditionError: It could not be made; the message has the last word of who tried.
    """
    folder = state.path / "base-model"
    if not (folder / "config.json").exists():
        _make(folder)
    bringing = bring_in(state, folder, name=BASE_NAME, tenant=DEFAULT_TENANT)
    return asyncio.run(bringing).version_id


def _make(folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, DEMO_FOLDER / "base_model.py", unfinished],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if made.returncode != 0:
        said = made.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise PreconditionError(f"the base model could not be made: {said[-1]}")
    unfinished.rename(folder)
