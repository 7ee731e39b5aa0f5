"""The last recorded release, installed: an environment of its own with wheels of its commit."""

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import ROOT

RECORD = ROOT / "deploy" / "releases.json"
UV = Path(sys.executable).with_name("uv")
OWN = ("libs", "services")


@dataclass(frozen=True)
class InstalledRelease:
    """A release beside this tree."""

    version: str
    python: str


def install_last_release(folder: Path) -> InstalledRelease:
    """Build and install the packages of the release that deploy/releases.json recorded last.

    What is not ours is shared with the environment that runs this.
    """
    release = json.loads(RECORD.read_text("utf-8"))["releases"][-1]
    source, wheels, environment = (folder / name for name in ("source", "wheels", "environment"))
    _unpack(release["commit"], source)
    for project in sorted(
        each.parent for own in OWN for each in source.glob(f"{own}/*/pyproject.toml")
    ):
        _run(UV, "build", "-q", "--wheel", "--no-build-isolation", "-o", wheels, project)
    _run(UV, "venv", "-q", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    _run(UV, "pip", "install", "-q", "--no-deps", "-p", python, *sorted(wheels.glob("*.whl")))
    _share_others(environment)
    return InstalledRelease(release["version"], str(python))


def _unpack(commit: str, folder: Path) -> None:
    """The sources of a commit; a clone may lack tags, and a shallow one the commit."""
    there = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT)
    assert there.returncode == 0, f"no commit {commit} here: run git fetch --unshallow --tags"
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    _run("git", "-C", ROOT, "archive", "-o", archive, commit, *OWN)
    _run("tar", "-xf", archive, "-C", folder)


def _share_others(environment: Path) -> None:
    """Behind its own packages; links of ours in the shared folder are not followed from there."""
    shared = sysconfig.get_paths()["purelib"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (packages / "others.pth").write_text(f"{shared}\n")
    # The broker is looked for beside the Python.
    server = Path(sys.executable).with_name("nats-server")
    (environment / "bin" / "nats-server").symlink_to(server)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
