"""How long a process wanted a core and had none, as the kernel's scheduler counts it.

Who judges another process by its silence takes this off: on a busy machine a computation of a
second may be silent for a minute, and nothing is wrong with it.
"""

from pathlib import Path

PROC = Path("/proc")
NANOSECONDS = 1e-9


class CoreWaits:
    """The waits of one process, from one look to the next.

    Args:
        pid: None for one of another machine, of which nothing is known.
    """

    def __init__(self, pid: int | None) -> None:
        self._tasks = PROC / str(pid) / "task"
        self._seen = self._waits()

    def since_last_look(self) -> float:
        """Seconds of the thread that waited longest; 0 where the kernel does not count them.

        Not their sum: threads that share a computation wait side by side.
        """
        before, self._seen = self._seen, self._waits()
        waited = (seconds - before.get(thread, 0.0) for thread, seconds in self._seen.items())
        return max(waited, default=0.0)

    def _waits(self) -> dict[str, float]:
        """Seconds by thread, since it began."""
        found = {}
        try:
            for thread in self._tasks.iterdir():
                _ran, waited, _slices = (thread / "schedstat").read_text().split()
                found[thread.name] = int(waited) * NANOSECONDS
        except (OSError, ValueError):
            return found  # it ended, or this is no Linux
        return found
