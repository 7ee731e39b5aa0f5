"""Progress of a long run: a bar on a terminal, else a line a minute and one for each new part."""

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 60.0


class LongProgress(Progress):
    """Elapsed time, time left and what is being done."""

    def __init__(self, console: Console) -> None:
        columns = (
            *(BarColumn(20), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
            TextColumn("{task.description}"),
        )
        super().__init__(*columns, console=console, speed_estimate_period=120)
        self._said, self._said_at = "", 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:  # type: ignore[override]
        """As of the bar; without a terminal, which draws none, it may be a line."""
        super().update(task_id, **changes)
        if self.console.is_terminal:
            return
        task = self._tasks[task_id]
        now = time.monotonic()
        if task.description == self._said and now - self._said_at < LINE_SECONDS:
            return
        self._said, self._said_at = task.description, now
        left = f", about {task.time_remaining:.0f} s left" if task.time_remaining else ""
        self.console.print(f"{task.elapsed or 0:.0f} s{left}: {task.description}", highlight=False)
