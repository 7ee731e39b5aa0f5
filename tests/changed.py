"""Prints the folders of tests that the changes since main may break: `python -m tests.changed`.

Changed packages with all that depend on their source, and tests across packages. On a clean main,
what its last commit changed. Where something was changed that everything depends on, or there is no
main to compare with: all folders.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]
FOR_ALL = ("libs/testkit", "libs/contracts")
"""Packages of which no manifest says who uses them in tests, or that all use."""
ACROSS = ("deploy", "docs", "examples")
"""Folders that belong to no package; what tests them is in `tests`."""


def main() -> int:
    """Print them, in the order of `testpaths`."""
    print(*folders_to_test(ROOT, changed_files(ROOT)))
    return 0


def folders_to_test(root: Path, changed: Iterable[str] | None) -> list[str]:
    """Entries of `testpaths` that the changed files may break; all of them for None."""
    everything = _test_paths(root)
    if not (changed := list(changed or ())):
        return everything
    needs = _needs(root)
    packages: set[str] = set()
    tests_alone: set[str] = set()
    for file in changed:
        first, *rest = PurePath(file).parts
        is_across = first in ACROSS or (first == "tests" and len(rest) > 1)
        if is_across or PurePath(file).suffix == ".md":
            continue  # these tests run in any case
        package = "/".join((first, *rest[:1]))
        if package not in needs or package in FOR_ALL:
            return everything
        (tests_alone if rest[1:2] == ["tests"] else packages).add(package)
    wanted = _dependents(packages, needs) | tests_alone
    found = [path for path in everything if path.startswith("tests/") or path in wanted]
    return found + sorted(package for package in wanted if package.startswith("libs/"))


def changed_files(root: Path) -> list[str] | None:
    """Paths that differ from where this branch left main, also what is not committed.

    Those of the last commit where there are none; None without a main or a commit before.
    """

    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return run.stdout

    for main_branch in ("main", "origin/main"):
        try:
            base = git("merge-base", "HEAD", main_branch).strip()
            untracked = git("ls-files", "--others", "--exclude-standard").splitlines()
            changed = git("diff", "--name-only", base).splitlines() + untracked
            return changed or git("diff", "--name-only", "HEAD~1").splitlines()
        except (subprocess.CalledProcessError, FileNotFoundError):
            continue
    return None


def _test_paths(root: Path) -> list[str]:
    document = tomllib.loads((root / "pyproject.toml").read_text())
    paths: list[str] = document["tool"]["pytest"]["ini_options"]["testpaths"]
    return paths


def _needs(root: Path) -> dict[str, set[str]]:
    """Of each package's folder, the folders of packages that its manifest names."""
    manifests = {
        f"{file.parent.parent.name}/{file.parent.name}": tomllib.loads(file.read_text())["project"]
        for file in sorted(root.glob("*/*/pyproject.toml"))
    }
    folder_of = {project["name"]: folder for folder, project in manifests.items()}
    services = {folder for folder in manifests if folder.startswith("services/")}
    needs = {}
    for folder, project in manifests.items():
        extras = project.get("optional-dependencies", {}).values()
        named = [*project.get("dependencies", ()), *(each for extra in extras for each in extra)]
        names = {re.split(r"[^A-Za-z0-9_-]", each, maxsplit=1)[0] for each in named}
        found = {folder_of[name] for name in names & folder_of.keys()}
        # `mill` is installed with the services, and imports none of them.
        needs[folder] = found - services if folder.startswith("libs/") else found
    return needs


def _dependents(packages: set[str], needs: Mapping[str, set[str]]) -> set[str]:
    found = set(packages)
    while more := {each for each, named in needs.items() if named & found} - found:
        found |= more
    return found


if __name__ == "__main__":
    sys.exit(main())
