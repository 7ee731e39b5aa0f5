"""Wheels are the same bytes whenever, wherever and by whomever they are built."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = sorted(
    file.parent for part in ("libs", "services") for file in ROOT.glob(f"{part}/*/pyproject.toml")
)


def build(parts: list[Path], place: Path, *, umask: int, seconds: int, zone: str) -> dict[str, str]:
    """SHA-256 of the wheels of copies in a folder, made by one with these habits."""
    place.mkdir()
    before = os.umask(umask)
    try:
        for part in parts:
            copy = place / part.name
            ignored = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info")
            shutil.copytree(part, copy, ignore=ignored, copy_function=shutil.copyfile)
            for path in copy.rglob("*"):
                os.utime(path, (seconds, seconds))
            command = ["uv", "build", "--quiet", "--wheel", "--offline", "--no-build-isolation"]
            subprocess.run(
                [*command, "--python", sys.executable, "--out-dir", place / "dist", copy],
                check=True,
                env=os.environ
                | {"TZ": zone, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
    finally:
        os.umask(before)
    found = (place / "dist").glob("*.whl")
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in found}


@pytest.mark.tier("test")
def test_wheels_are_the_same_from_other_folders_times_modes_and_zones(tmp_path: Path):
    one = build(PARTS, tmp_path / "one", umask=0o022, seconds=10**9, zone="UTC")
    other = build(
        PARTS, tmp_path / "the other", umask=0o077, seconds=1_700_000_001, zone="Asia/Tokyo"
    )

    assert len(one) == len(PARTS)
    assert one == other
