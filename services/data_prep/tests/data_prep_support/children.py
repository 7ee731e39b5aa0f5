"""Children of jobs, run in this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmill_jobs.child import ChildPort


@contextmanager
def child_port(root: Path, content: bytes, file_format: str = "jsonl") -> Iterator[ChildPort]:
    """What a child would be given for this file; its reports are read by nobody."""
    (root / "content").write_bytes(content)
    mapping = {"user_template": "{q}", "answer_template": "{a}"}
    request = {
        "files": [{"path": str(root / "content"), "format": file_format}],
        "spec": {"mapping": mapping},
        "folder": str(root / "dataset"),
        "max_row_bytes": 1000,
        "processes": 1,
        "ask_at_once": 2,
        "ray_address": "",
        "pseudonym_key": "00" * 32,
        "tokens": None,
    }
    read_fd, write_fd = os.pipe()
    try:
        yield ChildPort(request, root, write_fd)
    finally:
        os.close(read_fd)
        os.close(write_fd)
