"""What is in the store is never written again; who may read it stays as the umask said."""

import os
from pathlib import Path
from stat import S_IMODE

WRITE_BITS = 0o222


def make_read_only(file: Path | int) -> None:
    """Take away the right to write to it, and nothing else; `file` may be a descriptor."""
    os.chmod(file, S_IMODE(os.stat(file).st_mode) & ~WRITE_BITS)
