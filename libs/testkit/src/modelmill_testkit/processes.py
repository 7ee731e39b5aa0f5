"""Which processes a test has started, however many of them end while it looks."""

import psutil


def children_that_run(word: str, *, of: int | None = None) -> list[psutil.Process]:
    """Those below the process `of` (this one, unless told) with `word` in their command line."""
    return [one for one in psutil.Process(of).children(recursive=True) if _runs(one, word)]


def _runs(process: psutil.Process, word: str) -> bool:
    try:
        return word in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it ended while it was looked at
        return False
