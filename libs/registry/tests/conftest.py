from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from registry.store import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """Writes a folder with the given files; a new one at each call."""
    made = 0

    def write(files: Mapping[str, bytes]) -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"folder-{made}"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    return write
