"""Which layout a state folder has: it says so itself, in `layout.json`."""

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from modelmill_service_kit.errors import PreconditionError

LAYOUT = 1
"""Of the state folder and of what runs on it: another mill takes over only what has the same.

Whoever raises it adds a migration; see `modelmill_cli.upgrading.migrations`.
"""
UNSAID = 0
"""Of a folder that was used by a mill that did not say."""


@dataclass(frozen=True)
class StateLayout:
    """What a state folder says of its layout."""

    layout: int
    upgrading_to: int = UNSAID
    """Of a migration that was begun and has not ended; else 0."""
    mill: str = ""
    """Version of the mill that said so."""

    def problem(self, path: Path, known: range) -> tuple[str, str] | None:
        """Why a mill that knows these layouts leaves the folder alone, and what to do."""
        if (newest := max(self.layout, self.upgrading_to)) >= known.stop:
            return (
                f"{path} has layout {newest}, and this mill knows {known.stop - 1}",
                f"Use the mill that upgraded it{f' ({self.mill})' if self.mill else ''}, or a newer"
                " one",
            )
        if self.layout not in known and self.upgrading_to:
            return (
                f"the upgrade of {path} to layout {self.upgrading_to} was not finished",
                "Run `mill state upgrade` again",
            )
        if self.layout not in known:
            return (
                f"{path} has layout {self.layout}, and this mill needs {known.start}",
                "Run `mill state upgrade`; with --plan it says what that changes",
            )
        return None


def read_layout(file: Path) -> StateLayout | None:
    """What the file says; None where there is none.

    Raises:
        PreconditionError: it is damaged.
    """
    try:
        said = json.loads(file.read_text("utf-8"))
        return StateLayout(int(said["layout"]), int(said["upgrading_to"]), str(said["mill"])[:40])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PreconditionError(
            f"{file} is damaged. Restore a backup into another folder with `mill restore`"
        ) from error


def write_layout(file: Path, layout: int, *, upgrading_to: int = UNSAID) -> None:
    """Say it, so that it outlives a power cut; whoever holds the folder's lock may."""
    from modelmill_registry.blobs import write_durably

    said = StateLayout(layout, upgrading_to, version("modelmill"))
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # of a mill that was killed
    write_durably(temporary, file, json.dumps(asdict(said), indent=1).encode())
