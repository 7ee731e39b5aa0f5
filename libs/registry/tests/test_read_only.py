"""Contents of the store are read-only, and for those alone whom the umask lets read."""

import os
import stat
from pathlib import Path

import pytest
from modelmill_registry.blobs import make_read_only


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o444), (0o027, 0o440), (0o077, 0o400)])
def test_who_may_read_it_is_as_the_umask_said(tmp_path: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        file = tmp_path / "blob"
        file.write_bytes(b"content")
    finally:
        os.umask(before)
    make_read_only(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
