"""The figures of each step, one JSON object a line; kept in checkpoints and in the artifact."""

import json
import shutil
from pathlib import Path


class MetricsLog:
    """Appends to a file of this attempt.

    Args:
        path: The file; made anew, or from `earlier`.
        earlier: The log in the checkpoint that the run goes on from.
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
