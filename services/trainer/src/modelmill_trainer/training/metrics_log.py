"""Log of step metrics (JSON lines), part of checkpoints and of the artifact."""

import json
import shutil
from pathlib import Path


class MetricsLog:
    """Appends to the log of this attempt.

    Args:
        path: The file; created empty, or as a copy of `earlier`.
        earlier: Log in the checkpoint to resume from.
    """

    def __init__(self, path: Path, earlier: Path | None) -> None:
        self.path = path
        if earlier is not None:
            shutil.copyfile(earlier, path)
        else:
            path.write_bytes(b"")

    def write(self, **figures: float) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(figures) + "\n")
