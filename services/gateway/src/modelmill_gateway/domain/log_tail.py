"""As much of a failed job's log as its owner is shown."""

MAX_LINES = 20
MAX_BYTES = 4096


def shown_tail(log: str) -> str:
    """The last 20 lines, and of these the last 4 KB.

    They go to the job's own tenant and nowhere else: they may quote rows of a training file.
    """
    lines = "\n".join(log.splitlines()[-MAX_LINES:])
    return lines.encode()[-MAX_BYTES:].decode(errors="ignore")
