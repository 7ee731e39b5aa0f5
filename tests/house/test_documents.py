"""A document names only files and folders that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
TOP = "deploy|docs|libs|proto|services|tests"
PATH = re.compile(rf"(?<![\w./])(?:{TOP})/[\w./-]*\w")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_path_in_a_document_exists(document: Path):
    paths = sorted(set(PATH.findall(document.read_text("utf-8"))))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
