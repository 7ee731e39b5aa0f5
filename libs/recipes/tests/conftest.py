"""A recipe and its file of rows."""

from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "wordnet-kinds" / "recipe.yaml"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    """A copy of the example, with its rows where it looks for them."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "wordnet_nouns.jsonl").write_text('{"word": "x"}\n')
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "wordnet.yaml"
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("files: ", "files: ../demo/")
    file.write_text(text, encoding="utf-8")
    return file
