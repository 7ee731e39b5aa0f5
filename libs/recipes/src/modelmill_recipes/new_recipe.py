"""The text of a new recipe, with what it proposes explained in comments."""

import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from modelmill_recipes.propose import Columns, Kind, propose_mapping
from modelmill_recipes.recipe import base_problem, files_named, no_file

HEAD = "# From rows to a served model: mill run {file}. `mill recipe schema` has every field.\n"
TRAINING = """\
# Epochs, batch size and learning rate are chosen from rows, method and model.
# training:
#   hyperparameters: {epochs: 3, learning_rate: search}
"""
GATE = """\
# The alias moves only to a model that meets this.
# evaluation:
#   protections: [{measure: accuracy, worst: 0.8}]
"""
OF_KIND: dict[Kind, dict[str, Any]] = {
    "continue": {"training": {"objective": "text"}},
    "preference": {"training": {"objective": "dpo"}},
    "distill": {"training": {"teacher": "TEACHER", "teacher_answers": {"max_new_tokens": 256}}},
}
"""Sections that a kind needs."""


def new_recipe(kind: Kind, data: Sequence[str], output: Path, *, base: str, name: str = "") -> str:
    """A recipe for files of rows.

    Args:
        data: Paths, globs and folders of documents; the first rows of each file are read.
        output: Where the recipe will be: files are named relative to it.
        name: Of recipe and alias; defaults to that of the first file or folder.

    Raises:
        InvalidInputError: There is no such file, its rows cannot be read, or it has no column that
            the kind and the other files need.
    """
    every = _every_file(data, base)
    columns = Columns.of(every)
    mapping = propose_mapping(kind, columns)
    folder = output.resolve().parent
    named = [os.path.relpath(Path(each).expanduser().absolute(), folder) for each in data]
    shown = {key: _shown(value) for key, value in mapping.items()}
    own = name or _name_of(Path(data[0]) if Path(data[0]).is_dir() else every[0])
    sections: dict[str, Any] = {
        "name": own,
        "base": base,
        "data": {"files": named if len(named) > 1 else named[0], "mapping": shown},
        **OF_KIND.get(kind, {}),
        "alias": own,
    }
    text = HEAD.format(file=output)
    for key, value in sections.items():
        text += _yaml({key: value})
        if key == "data":
            partial = [
                each for each in columns.names if len(columns.having(each)) < len(columns.files)
            ]
            text += f"# In some files alone: {', '.join(partial)}.\n" if partial else ""
            text += GATE if kind in OF_KIND else TRAINING + GATE
    return text


def _every_file(data: Sequence[str], base: str) -> list[Path]:
    files = {each: files_named(each, Path()) for each in data}
    missing = [no_file(each, Path()) for each, found in files.items() if not found]
    if problem := base_problem(base, Path()):
        missing.append(f"--base: {problem}")
    if missing:
        raise InvalidInputError(missing)
    return list(dict.fromkeys(file for found in files.values() for file in found))


def _shown(text: str) -> str:
    """As people write templates: over lines, or in quotes, for braces begin a mapping."""
    shown: str = LiteralScalarString(text) if "\n" in text else DoubleQuotedScalarString(text)
    return shown


def _yaml(value: dict[str, Any]) -> str:
    target = StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(value, target)
    return target.getvalue()


def _name_of(file: Path) -> str:
    """Its name, with what names may not have turned to hyphens."""
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "._-" else "-" for c in file.stem)
    return kept.strip("._-")[:64] or "model"
