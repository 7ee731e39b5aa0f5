"""A recipe and its file of rows."""

from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "deploy" / "recipes" / "wordnet.yaml"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A copy of the example, with its rows where it looks for them."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "wordnet_nouns.jsonl").write_text('{"word": "x"}\n')
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "wordnet.yaml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return file
