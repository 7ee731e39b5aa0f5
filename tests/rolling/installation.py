"""Another installation of Modelmill: an environment of its own with wheels of another version."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.docs.blocks import ROOT

OTHER_VERSION = "0.1.1"
UV = Path(sys.executable).with_name("uv")
VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)
OWN = ("libs", "services")


def other_installation(folder: Path) -> str:
    """The Python of an environment with this tree's packages, under another version.

    What is not ours is shared with the environment that runs this.
    """
    wheels, environment = folder / "wheels", folder / "environment"
    projects = sorted(each.parent for own in OWN for each in (ROOT / own).glob("*/pyproject.toml"))
    for project in projects:
        _build(project, folder / "source" / project.name, wheels)
    _run(str(UV), "venv", "-q", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    packages = ("uv", "pip", "install", "-q", "--no-deps", "-p", str(python))
    _run(str(UV), *packages[1:], *map(str, sorted(wheels.glob("*.whl"))))
    _share_others(environment)
    return str(python)


def _build(project: Path, copy: Path, wheels: Path) -> None:
    left_out = shutil.ignore_patterns("tests", "__pycache__", "site")
    shutil.copytree(project, copy, ignore=left_out)
    declared = copy / "pyproject.toml"
    declared.write_text(VERSION.sub(f'version = "{OTHER_VERSION}"', declared.read_text()))
    _run(str(UV), "build", "-q", "--wheel", "--no-build-isolation", "-o", str(wheels), str(copy))


def _share_others(environment: Path) -> None:
    """Behind its own packages; links of ours in the shared folder are not followed from there."""
    shared = sysconfig.get_paths()["purelib"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    (packages / "others.pth").write_text(f"{shared}\n")
    # The broker is looked for beside the Python.
    server = Path(sys.executable).with_name("nats-server")
    (environment / "bin" / "nats-server").symlink_to(server)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
