"""The reduced form of an example: its recipe with some of its rows and a few steps.

What it learns from whom, and what is measured, stays as it is. What says how well (protections,
`require_learned`) goes: a tiny model with random weights learns next to nothing.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

from tests.examples.example import RECIPE, Example

ROWS = 48
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
SHORT = {
    "learning_rate": 0.01,
    "max_steps": 24,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "lora_rank": 4,
}
EVALUATED = {"max_rows": 4, "max_new_tokens": 8, "resamples": 100}
TEACHER_TOKENS = 64
"""A tokenizer that knows few words needs more for an answer."""


def write_reduced(example: Example, folder: Path, base: str) -> Path:
    """Write the reduced recipe and its rows into a new folder; the recipe.

    Args:
        base: Name of the base model, in place of the example's own.
    """
    folder.mkdir(parents=True)
    own = example.recipe.base
    value = _with_base(deepcopy(example.recipe.source.value), str(own), base)
    value["data"] |= {"files": list(_rows(example, folder)), "shares": SHARES}
    training = value.setdefault("training", {})
    training["hyperparameters"] = SHORT
    if "teacher_answers" in training:
        training["teacher_answers"] |= {"max_new_tokens": TEACHER_TOKENS}
    evaluation = value["evaluation"]
    evaluation.pop("protections", None)
    evaluation |= EVALUATED
    value["require_learned"] = False
    file = folder / RECIPE
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")  # YAML, too
    return file


def _with_base(value: Any, own: str, base: str) -> Any:
    """With another base wherever the example names its own."""
    if isinstance(value, Mapping):
        return {key: _with_base(each, own, base) for key, each in value.items()}
    return base if value == own else value


def _rows(example: Example, folder: Path) -> Iterator[str]:
    """Files with the first rows; of documents the first of each format."""
    formats: set[str] = set()
    for file in example.recipe.files:
        name = file.relative_to(example.folder)
        (folder / name).parent.mkdir(exist_ok=True)
        if file.suffix == ".jsonl":
            with file.open(encoding="utf-8") as lines:
                (folder / name).write_text("".join(islice(lines, ROWS)), encoding="utf-8")
        elif file.suffix in formats:
            continue
        else:
            shutil.copy(file, folder / name)
        formats.add(file.suffix)
        yield str(name)
