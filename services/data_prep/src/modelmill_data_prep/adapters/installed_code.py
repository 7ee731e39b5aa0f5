"""Fingerprint of the code that determines a dataset's bytes, to compare cluster nodes."""

import hashlib
import platform
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("modelmill_data_prep", "modelmill_token_files", "modelmill_tokenization")
"""Our packages; hashed by content, as their version does not change between releases."""

DISTRIBUTIONS = ("ftfy", "msgspec", "numpy", "opencc", "pyarrow", "spacy", "xxhash")
"""Third-party packages; hashed by version."""


def code_fingerprint(more: Iterable[str] = ()) -> str:
    """Hash that is equal on machines with the same code and libraries.

    Args:
        more: Further distributions, such as spaCy pipelines; they need not be installed.
    """
    digest = hashlib.sha256()
    digest.update(f"{platform.python_version()} {unicodedata.unidata_version}\n".encode())
    for name in sorted({*DISTRIBUTIONS, *more}):
        digest.update(f"{name} {_version(name)}\n".encode())
    for package in PACKAGES:
        for name, file in _files(package):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{package} {name} {content}\n".encode())
    return digest.hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "-"


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """Sorted names and files of a package, without importing it."""
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        root = Path(place)
        found = {file.relative_to(root).as_posix(): file for file in root.rglob("*")}
        for name in sorted(found):
            if "__pycache__" not in name and found[name].is_file():
                yield name, found[name]
