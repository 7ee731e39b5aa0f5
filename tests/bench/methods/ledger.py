"""What a bench has done: a file for each finished step, by what was chosen for it."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import PreconditionError

DIGITS = 16
"""Of a digest, in names of files and in keys; of some hundred steps no two share them."""

Result = dict[str, Any]


def digest_of(choices: Any) -> str:
    """The same for the same choices, in whatever order they stand."""
    text = json.dumps(choices, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class Ledger:
    """Finished steps in a folder. A step that is cut off leaves nothing, and is done again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def done(self, name: str, choices: Any, step: Callable[[], Result]) -> Result:
        """The step's result, by doing it now unless it was done before with the same choices.

        Raises:
            PreconditionError: its file is there and cannot be read.
        """
        file = self._folder / f"{name}-{digest_of(choices)}.json"
        if file.exists():
            return _result_in(file)
        result = step()
        _write(file, {"step": name, "choices": choices, "result": result})
        return result


def _result_in(file: Path) -> Result:
    try:
        result: Result = json.loads(file.read_text("utf-8"))["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise PreconditionError(
            f"{file} is not what this bench wrote. Delete it, and the step is done again"
        ) from error
    return result


def _write(file: Path, content: Any) -> None:
    """Whole on the disk, or not there."""
    partial = file.with_name(f"{file.name}.part")
    with partial.open("w", encoding="utf-8") as target:
        json.dump(content, target, ensure_ascii=False, indent=1, allow_nan=False)
        target.flush()
        os.fsync(target.fileno())
    partial.replace(file)
