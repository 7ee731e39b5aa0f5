"""Each code block of README and docs is of a kind that is run or held to its form, or says why not.

`test_running` runs them; those of the examples run in `tests/examples`.
"""

import json
from pathlib import Path

import pytest
import yaml
from modelmill_guard.policy import parse_policy
from modelmill_recipes.recipe import Recipe

from tests.docs.blocks import (
    CHINESE,
    EXAMPLES,
    FENCE,
    INDENTED,
    MARKER,
    READ,
    ROOT,
    RUN,
    all_blocks,
    blocks_of,
    documents,
    examples,
    translations,
)

DOCUMENTS = [*documents(), *examples()]
PAIRS = translations()


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_block_is_fenced_and_of_a_language_that_is_run_or_read(document: Path):
    text = document.read_text("utf-8")
    prose = FENCE.sub("", text)

    assert [block.name for block in blocks_of(document) if block.language not in RUN + READ] == []
    assert INDENTED.findall(prose) == []
    assert "```" not in prose


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_marker_says_why_and_stands_before_a_block_that_would_run(document: Path):
    marked = [block for block in blocks_of(document) if block.reason]

    assert len(marked) == len(MARKER.findall(document.read_text("utf-8")))
    assert [block.name for block in marked if block.language not in RUN] == []
    assert [block.name for block in marked if len(block.reason.split()) < 3] == []


def test_most_blocks_are_run():
    runnable = [block for block in all_blocks() if block.language in RUN]
    assert len(runnable) > 2 * len([block for block in runnable if block.reason])


@pytest.mark.parametrize(
    "block",
    [block for block in all_blocks() if block.language in READ],
    ids=lambda block: block.name,
)
def test_a_block_of_yaml_is_a_recipe_or_a_policy_and_one_of_json_parses(block, tmp_path: Path):
    if block.language == "json":
        json.loads(block.code)
        return
    if "rules" in yaml.safe_load(block.code) or "judges" in yaml.safe_load(block.code):
        parse_policy({block.name: block.code})
        return
    (tmp_path / "tickets.csv").write_text("ticket,team\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(block.code, "utf-8")
    Recipe.load(recipe)


def test_each_document_that_is_there_in_chinese_is_there_in_english_and_the_other_way():
    in_chinese = {*CHINESE.rglob("*.md"), *EXAMPLES.rglob("*.zh.md")}
    assert {*PAIRS.values()} == {ROOT / "README.zh.md", *in_chinese}


@pytest.mark.parametrize("english", PAIRS, ids=name_of)
def test_code_is_the_same_in_both_languages(english: Path):
    def code(document: Path) -> list[tuple[str, str, str]]:
        return [(it.language, it.reason, it.code) for it in blocks_of(document)]

    assert code(PAIRS[english]) == code(english)


@pytest.mark.parametrize("english", PAIRS, ids=name_of)
def test_a_chapter_is_there_in_both_languages(english: Path):
    def chapters(document: Path) -> list[int]:
        prose = FENCE.sub("", document.read_text("utf-8"))
        return [len(line.split()[0]) for line in prose.splitlines() if line.startswith("#")]

    assert chapters(PAIRS[english]) == chapters(english)


@pytest.mark.parametrize("chinese", PAIRS.values(), ids=name_of)
def test_a_document_in_chinese_is_chinese(chinese: Path):
    prose = FENCE.sub("", chinese.read_text("utf-8"))
    assert sum("\u4e00" <= it <= "\u9fff" for it in prose) > len(prose) / 8
