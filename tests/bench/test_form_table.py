"""The table of forms in the documentation: whole, and as the product says it today."""

import json
import re

import pytest
from modelmill_optimizer_builder.domain.forms import form_named

from tests.bench.form_table import (
    BEGIN,
    END,
    PAGE,
    RESULT,
    TABLED,
    TRIED,
    WORKS,
    architecture_of,
    entries,
    is_decided,
    section,
    told,
)

NAMES = {
    **{"llama": "Llama", "mistral": "Mistral", "phi3": "Phi3", "deepseek_v3": "DeepseekV3"},
    **{"qwen2": "Qwen2", "qwen3": "Qwen3", "qwen3_moe": "Qwen3Moe"},
    **{"gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3"},
}
"""Beginnings of the classes that config.json names."""


def published() -> dict[tuple[str, str], str]:
    """Cells of the page: a tick, or the message that the number points to."""
    text = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    found = re.findall(r"^(\d+)\. `(.*?)`$", text.replace("\n   ", " "), re.MULTILINE)
    messages = dict(found)
    cells, forms = {}, []
    for line in text.splitlines():
        words = [word.strip().strip("`") for word in line.strip("|").split("|")]
        if line.startswith("| architecture"):
            forms = words[1:]
        elif line.startswith("| `"):
            for form, mark in zip(forms, words[1:], strict=True):
                cells[words[0], form] = WORKS if mark == "✓" else messages[mark]
    return cells


def test_the_table_has_every_form_of_every_architecture_and_all_is_decided() -> None:
    cells = published()

    assert cells.keys() == {(name, form) for name in TRIED for form in TABLED}
    assert all(map(is_decided, cells.values()))
    assert section(cells) in PAGE.read_text("utf-8")


def test_the_records_are_those_of_the_table() -> None:
    kept = {it["id"]: it for it in json.loads(RESULT.read_text())["entries"]}

    for entry in entries(published()):
        assert kept[entry.id]["value"] == entry.value


@pytest.mark.parametrize("name", TRIED)
def test_what_is_refused_before_any_work_is_refused_with_the_message_of_the_table(
    name: str,
) -> None:
    config = dict(architecture_of(name).config)
    config |= {"model_type": name, "architectures": [f"{NAMES[name]}ForCausalLM"]}
    cells = published()

    for form in TABLED:
        if said := form_named(form).refusal(config):
            wanted = told((name, form), f"UNSUPPORTED_ARCHITECTURE: {said}")
            # A machine that lacks what a form is built with says so first.
            assert cells[name, form] == wanted or cells[name, form].startswith("MISSING_RUNTIME")
