"""A task of a suite: lm-evaluation-harness's YAML, completed so that the API takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

MAX_BYTES = 32 * 1024
"""Of a task's YAML, as the API has it."""
MAX_INCLUDED = 32
"""Files that one task may include in all, each as often as it is named."""
Splits = dict[str, list[str]]
"""Names of files by split."""


@dataclass(frozen=True)
class SuiteTask:
    """A task and the files that it reads."""

    name: str
    config: str
    """Its YAML for the API, in which files have their names alone."""
    files: tuple[Path, ...]


def inside(folder: Path, name: str) -> Path:
    """A file of a suite's folder.

    Raises:
        InvalidInputError: there is none, or it lies elsewhere.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InvalidInputError(f"{name!r} is not in the suite's folder. Copy it there")
    if not path.is_file():
        raise InvalidInputError(f"no file {name!r} in {folder}. Name one that is there")
    return path


def read_task(folder: Path, name: str, data: Mapping[str, Any], shots: int | None) -> SuiteTask:
    """Read a task.

    Args:
        name: Of its file, in the suite's folder.
        data: Files by split, in place of those that the YAML names; empty to keep these.
        shots: Number of few-shot examples in place of the YAML's; None to keep it.

    Raises:
        InvalidInputError: the file or one that it names is missing or unreadable.
    """
    yaml = YAML(typ="rt")
    yaml.preserve_quotes, yaml.width = True, MAX_BYTES
    fields = _included(yaml, folder, name, [])
    splits = _splits(data) or _splits(_data_files(fields))
    if not splits:
        raise InvalidInputError(
            f"{name}: names no data files. Name them in suite.yaml, as in"
            f" `{{task: {name}, data: {{test: rows.jsonl}}}}`"
        )
    paths = {split: [inside(folder, each) for each in names] for split, names in splits.items()}
    for field in ("dataset_name", "dataset_kwargs"):
        fields.pop(field, None)
    fields["dataset_path"] = "json"
    named = {split: [path.name for path in found] for split, found in paths.items()}
    fields["dataset_kwargs"] = {"data_files": named}
    if shots is not None:
        _set_shots(fields, shots, splits)
    text = StringIO()
    yaml.dump(fields, text)
    files = dict.fromkeys(path for found in paths.values() for path in found)
    return SuiteTask(str(fields.get("task", name)), text.getvalue(), tuple(files))


def _included(yaml: YAML, folder: Path, name: str, read: list[Path]) -> CommentedMap:
    """The fields of a file, above those of the files that it includes.

    Args:
        read: All that were read for the task, this one too once it is.
    """
    path = inside(folder, name)
    if len(read) > MAX_INCLUDED:
        raise InvalidInputError(
            f"{name}: the task includes over {MAX_INCLUDED} files. Include less"
        )
    read.append(path)
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInputError(f"{name}: larger than {MAX_BYTES} bytes. Put rows into data files")
    try:
        fields = yaml.load(path.read_text("utf-8"))
    except (YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise InvalidInputError(f"{name}: not YAML: {said}. Mend it") from error
    if not isinstance(fields, CommentedMap):
        raise InvalidInputError(f"{name}: must be a mapping, such as `task: kinds`")
    given = fields.pop("include", [])
    merged = CommentedMap()
    for each in [given] if isinstance(given, str) else given:
        merged.update(_included(yaml, path.parent, str(each), read))
    merged.update(fields)
    return merged if given else fields


def _data_files(fields: Mapping[str, Any]) -> Any:
    kwargs = fields.get("dataset_kwargs")
    return kwargs.get("data_files") if isinstance(kwargs, Mapping) else None


def _splits(given: Any) -> Splits:
    if isinstance(given, str):
        return {"test": [given]}
    if not isinstance(given, Mapping):
        return {}
    return {
        str(split): [names] if isinstance(names, str) else [str(name) for name in names]
        for split, names in given.items()
    }


def _set_shots(fields: CommentedMap, shots: int, splits: Splits) -> None:
    """Examples are of `fewshot_split`, or else of the training split, as in the harness."""
    fields["num_fewshot"] = shots
    if not shots:
        return
    fields.setdefault("fewshot_config", {"sampler": "first_n"})
    training = fields.get("training_split")
    if "fewshot_split" not in fields and training in splits:
        fields["fewshot_split"] = training
