"""`make install` says where its log is and no more; when it fails, also how it failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = """#!{python}
import sys
if "-q" not in sys.argv:
    print(*(f" + package-{{at}}==1.0" for at in range(200)), sep="\\n", file=sys.stderr)
sys.exit(int({status}))
"""


def install(folder: Path, status: int) -> subprocess.CompletedProcess[str]:
    """`make install` in a folder with the Makefile, a Python that does nothing, and this uv."""
    shutil.copy(ROOT / "Makefile", folder)
    for file in ("constraints.txt", "deploy/bootstrap.txt", ".venv/bin/python", ".venv/bin/uv"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch(mode=0o755)
    (folder / "proto").mkdir()
    (folder / ".venv/bin/python").write_text("#!/bin/sh\n")
    (folder / ".venv/bin/uv").write_text(UV.format(python=sys.executable, status=status))
    return subprocess.run(
        ["make", "-C", str(folder), "--no-print-directory", f"PYTHON={sys.executable}", "install"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("status", [0, 1])
def test_packages_are_listed_in_a_file(tmp_path: Path, status: int) -> None:
    done = install(tmp_path, status)

    log = tmp_path / "build" / "modelmill-install.log"
    assert log.read_text().count("package-") == 200
    first, *more = done.stdout.splitlines()
    assert first == "installing modelmill; build/modelmill-install.log says what"
    if status == 0:
        says = f'to call mill by its name: export PATH="{tmp_path}/.venv/bin:$PATH"'
        assert (done.returncode, more, done.stderr) == (0, [says], "")
    else:
        assert done.returncode != 0
        assert more == [f" + package-{at}==1.0" for at in range(180, 200)]
        assert "all of it is in build/modelmill-install.log" in done.stderr
