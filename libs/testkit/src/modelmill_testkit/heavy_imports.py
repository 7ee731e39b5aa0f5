"""Which large libraries test modules load when they are imported, read from their source."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

HEAVY = frozenset(
    (
        *("torch", "transformers", "peft", "openvino", "openvino_genai", "optimum", "nncf"),
        *("accelerate", "deepspeed", "spacy", "trl", "wandb"),
    )
)
SDKS = frozenset(("anthropic", "openai"))
"""Clients of others' services: four thousand modules, some seconds in each worker."""
FROM = re.compile(r"^from +([\w.]+) +import +(\([^)]*\)|[^\n]*)", re.MULTILINE)
IMPORT = re.compile(r"^import +([\w.]+)", re.MULTILINE)


class HeavyImports:
    """Follows imports at the top of modules, through packages and through helpers of tests.

    Args:
        root: of the checkout: sources lie in `libs/*/src` and `services/*/src`.
        libraries: which are large.
    """

    def __init__(self, root: Path, libraries: Collection[str] = HEAVY | SDKS) -> None:
        self._root = root
        self._libraries = libraries
        self._known: dict[Path, frozenset[str]] = {}
        self._found: dict[Path | None, dict[str, tuple[Path, ...]]] = {}
        self._listed: dict[Path, frozenset[str]] = {}
        self._packages = {
            package.name: package
            for pattern in ("libs/*/src/*", "services/*/src/*")
            for package in root.glob(pattern)
        } | {"tests": root / "tests"}

    def loaded_by(self, file: Path) -> frozenset[str]:
        """Those of the libraries that are imported when the file is."""
        if (known := self._known.get(file)) is not None:
            return known
        self._known[file] = frozenset()  # for those that import each other
        found: set[str] = set()
        for name in dict.fromkeys(_imported(file)):
            first = name.partition(".")[0]
            if first in self._libraries:
                found.add(first)
                continue
            for each in self._files_of(name, file):
                found |= self.loaded_by(each)
        self._known[file] = frozenset(found)
        return self._known[file]

    def _files_of(self, name: str, file: Path) -> tuple[Path, ...]:
        """The module and the packages around it, where they are ours."""
        is_of_a_package = name.partition(".")[0] in self._packages
        known = self._found.setdefault(None if is_of_a_package else file.parent, {})
        if (found := known.get(name)) is None:
            found = known[name] = tuple(self._find(name, file))
        return found

    def _find(self, name: str, file: Path) -> Iterator[Path]:
        dots = len(name) - len(name.lstrip("."))
        first, *rest = name.lstrip(".").split(".")
        if dots:
            yield from self._along(file.parents[dots - 1], [first, *rest])
        elif package := self._packages.get(first):
            yield from self._along(package, rest)
        elif "tests" in file.parts:
            yield from self._helper(file, [first, *rest])

    def _helper(self, file: Path, parts: list[str]) -> Iterator[Path]:
        """Of a folder that tests put on `sys.path`: their own, or `support` in it."""
        for folder in file.parents:
            if not folder.is_relative_to(self._root) or folder == self._root:
                return
            for near in (folder, folder / "support"):
                if found := list(self._along(near, parts)):
                    yield from found
                    return

    def _along(self, folder: Path, parts: list[str]) -> Iterator[Path]:
        for part in parts:
            for name in ("__init__.py", f"{part}.py"):
                if name in self._names_in(folder):
                    yield folder / name
            folder = folder / part

    def _names_in(self, folder: Path) -> frozenset[str]:
        if (names := self._listed.get(folder)) is None:
            names = frozenset(os.listdir(folder) if folder.is_dir() else ())
            self._listed[folder] = names
        return names


def _imported(file: Path) -> Iterator[str]:
    """Names that the module imports when it is imported; of `from a import b` also `a.b`."""
    source = file.read_text("utf-8")
    yield from IMPORT.findall(source)
    for base, names in FROM.findall(source):
        yield base
        dot = "" if base.endswith(".") else "."
        yield from (f"{base}{dot}{name}" for name in re.findall(r"\w+", names))
