"""A recipe: from rows to a served model, in one file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from glob import glob, has_magic
from operator import getitem
from pathlib import Path
from typing import Any, Self

from modelmill_documents.document_format import document_format_of
from modelmill_hub.address import HubAddress, Kind, is_hub_address
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean_file

from modelmill_recipes.evaluation_suite import EvaluationSuite, find_suite
from modelmill_recipes.located import LocatedYaml, Place
from modelmill_recipes.recipe_judge import RecipeJudge, judge_of, without_judge
from modelmill_recipes.schema_errors import schema_errors

FIELD = re.compile(r"[A-Za-z0-9_.]+")
DISTILLATION = "distillation"
BY_WHOLE_MODEL = {"objective": DISTILLATION, "training_method": "full"}
COLUMN = re.compile(r"unknown column '(.+?)'")


@dataclass(frozen=True)
class Recipe:
    """What a recipe says; bodies are those of the API, without what its steps fill in."""

    source: LocatedYaml
    name: str
    base: str | Path | HubAddress
    """A version or name; a folder, absolute; or a model on a hub."""
    files: tuple[Path, ...]
    """Absolute, in the order in which they are read."""
    dataset: dict[str, Any]
    training: dict[str, Any]
    """What it says, with what a pruned base needs."""
    evaluation: dict[str, Any] | None
    """Without suite and judge."""
    optimizations: tuple[dict[str, Any], ...]
    alias: str
    is_default: bool
    requires_learning: bool
    policy: dict[str, Any] | None = None
    policy_files: tuple[Path, ...] = ()
    """Absolute."""
    limits: dict[str, Any] | None = None
    suite: EvaluationSuite | None = None
    """That the evaluation runs beside the dataset."""
    judge: RecipeJudge | None = None
    """Who scores the answers of the evaluation."""
    pruning: dict[str, Any] | None = None
    """What is cut away from the base before it is trained."""
    hub_files: tuple[HubAddress, ...] = ()
    """Datasets on hubs that are not on this machine yet; read behind the files."""

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read and check a recipe.

        Raises:
            InvalidInputError: everything that is wrong with it, each with its line.
            NotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        source = _read(file)
        value, folder = source.value, file.resolve().parent
        data = dict(value["data"])
        errors: list[tuple[Place, str]] = []
        base = _base(value["base"], folder, errors)
        files, hub_files = _rows(data.pop("files"), folder, errors)
        evaluation, suite, judge = _evaluation(value.get("evaluation"), folder, errors)
        policy = value.get("policy")
        rules = _files(policy["files"], folder, errors, "policy") if policy else ()
        if errors:
            raise source.errors(errors)
        return cls(
            source=source,
            name=value["name"],
            base=base,
            files=files,
            dataset=data,
            training=_training(value),
            pruning=value.get("pruning"),
            evaluation=evaluation,
            suite=suite,
            judge=judge,
            optimizations=tuple(value.get("optimizations") or ()),
            alias=value.get("alias") or value["name"],
            is_default=bool(value.get("default")),
            requires_learning=bool(value.get("require_learned", True)),
            policy=policy,
            policy_files=rules,
            limits=value.get("limits"),
            hub_files=hub_files,
        )

    def with_tables(self, tables: Sequence[Path]) -> Self:
        """The same once the datasets of hubs are on this machine."""
        return replace(self, files=(*self.files, *tables), hub_files=())

    def located(self, message: str, section: str) -> str:
        """An error of the API about a field of a section, with its line in front.

        Args:
            message: Begins with the field, such as `mapping.user_template: ...` or
                `lora_rank must be ...`.
        """
        named = FIELD.match(message)
        parts = named[0].split(".") if named else []
        place = _place(self.source.value, section, parts)
        if len(place) == 1 and (column := COLUMN.search(message)):
            place = (section, *_reading(self.source.value.get(section), column[1]))
        return f"{self.source.at(place)}: {message}"


def _read(file: Path) -> LocatedYaml:
    """A file that the schema accepts."""
    if not file.is_file():
        raise NotFoundError(
            f"no recipe {str(file)!r}.{did_you_mean_file(file.absolute())} `mill recipe new`"
            " writes one"
        )
    source = LocatedYaml(file)
    if errors := list(dict.fromkeys(schema_errors(source.value))):
        raise source.errors(errors)
    return source


def _place(value: dict[str, Any], section: str, parts: list[str]) -> Place:
    """Where the field is in the section: by its whole path, or else by its last name wherever that
    is, for a service does not know in which part of the order a field came."""
    own = value.get(section)
    whole = _within(own, parts)
    if whole is None and parts:
        whole = next((place for place in _places(own) if place[-1] == parts[-1]), None)
    return (section, *(whole or ()))


def _reading(value: Any, column: str) -> Place:
    """Where a text names the column, as a template does; nowhere if none does."""
    for place in _places(value):
        text = reduce(getitem, place, value)
        if isinstance(text, str) and (text == column or f"{{{column}}}" in text):
            return place
    return ()


def _within(value: Any, parts: list[str]) -> Place | None:
    """The parts themselves where they lead to a value."""
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return tuple(parts)


def _places(value: Any) -> Iterator[Place]:
    """Of all fields, outer ones first."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = [*items]
        yield from ((key,) for key, _ in found)
        for key, inner in found:
            yield from ((key, *place) for place in _places(inner))


def _base(given: str, folder: Path, errors: list[tuple[Place, str]]) -> str | Path | HubAddress:
    """A folder has a slash in it, as `./base`; a version or name has none."""
    if is_hub_address(given):
        return _address(given, "model", ("base",), errors) or given
    if "/" not in given:
        return given
    if problem := base_problem(given, folder):
        errors.append((("base",), f"base: {problem}"))
    return (folder / Path(given).expanduser()).resolve()


def _training(value: dict[str, Any]) -> dict[str, Any]:
    """The section; a pruned base learns all its weights from the whole one, unless it says else."""
    given = value.get("training") or {}
    says_else = "method" in given or given.get("objective", DISTILLATION) != DISTILLATION
    is_taught = "pruning" in value and not says_else
    return {**(BY_WHOLE_MODEL if is_taught else {}), **given}


def _evaluation(
    given: dict[str, Any] | None, folder: Path, errors: list[tuple[Place, str]]
) -> tuple[dict[str, Any] | None, EvaluationSuite | None, RecipeJudge | None]:
    """The section without its suite and judge, and these; None where none is given, or it is
    wrong."""
    if given is None:
        return None, None, None
    judge = judge_of(given, folder, errors)
    body = {name: value for name, value in without_judge(given).items() if name != "suite"}
    try:
        return body, find_suite(given["suite"], folder) if "suite" in given else None, judge
    except InvalidInputError as error:
        errors += [(("evaluation", "suite"), f"evaluation.suite: {one}") for one in error.errors]
    except NotFoundError as error:
        errors.append((("evaluation", "suite"), f"evaluation.suite: {error.message}"))
    return body, None, judge


def _address(
    given: str, kind: Kind, place: Place, errors: list[tuple[Place, str]]
) -> HubAddress | None:
    """An address of such a repository; None where it is wrong."""
    named = ".".join(str(part) for part in place if isinstance(part, str))
    try:
        address = HubAddress.parse(given)
    except InvalidInputError as error:
        errors.append((place, f"{named}: {error.message}"))
        return None
    if address.kind != kind:
        form = "hf://datasets/org/name" if kind == "dataset" else "hf://org/name"
        errors.append((place, f"{named}: {given!r} is a {address.kind}. Give a {kind}: {form}"))
        return None
    return address


def _hub_files(given: str | list[str], errors: list[tuple[Place, str]]) -> Iterator[HubAddress]:
    """Those of the files that are datasets on hubs."""
    for index, each in enumerate([given] if isinstance(given, str) else given):
        place: Place = ("data", "files", *(() if isinstance(given, str) else (index,)))
        if is_hub_address(each) and (address := _address(each, "dataset", place, errors)):
            yield address


def _rows(
    given: str | list[str], folder: Path, errors: list[tuple[Place, str]]
) -> tuple[tuple[Path, ...], tuple[HubAddress, ...]]:
    """Files of rows, and datasets on hubs."""
    return _files(given, folder, errors), tuple(_hub_files(given, errors))


def _files(
    given: str | list[str],
    folder: Path,
    errors: list[tuple[Place, str]],
    section: str = "data",
) -> tuple[Path, ...]:
    """Files that are named, each once, in the order in which they are; of a glob by their names."""
    found: dict[Path, None] = {}
    for index, each in enumerate([given] if isinstance(given, str) else given):
        if section == "data" and is_hub_address(each):
            continue
        paths = files_named(each, folder, documents=section == "data")
        place: Place = (section, "files", *(() if isinstance(given, str) else (index,)))
        if not paths:
            errors.append((place, f"{section}.files: {no_file(each, folder)}"))
        empty = [path.name for path in paths if path.stat().st_size == 0]
        errors += [(place, f"{section}.files: {name} is empty") for name in empty]
        found |= dict.fromkeys(paths)
    return tuple(found)


def files_named(given: str, folder: Path, *, documents: bool = True) -> list[Path]:
    """The file of a path, or those of a glob by their names; absolute, and none where none is.

    Args:
        documents: Whether a folder stands for the documents and plain texts in and below it.
    """
    path = folder / Path(given).expanduser()
    if documents and path.is_dir():
        return [one.resolve() for one in sorted(path.rglob("*")) if _is_document(one, path)]
    if has_magic(given) and not path.is_file():
        paths = [Path(name) for name in sorted(glob(str(path), recursive=True))]
    else:
        paths = [path]
    return [one.resolve() for one in paths if one.is_file()]


def base_problem(given: str, folder: Path) -> str:
    """Why there is no such base folder; empty where there is, or a name is given."""
    path = (folder / Path(given).expanduser()).resolve()
    is_folder = "/" in given and not is_hub_address(given)
    return f"no folder {given!r}.{_looked(path)}" if is_folder and not path.is_dir() else ""


def _is_document(path: Path, folder: Path) -> bool:
    """Whether it has text; hidden files are left out, as are empty ones."""
    is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    is_text = document_format_of(path.name) is not None or path.suffix.lower() == ".txt"
    return is_text and not is_hidden and path.is_file() and path.stat().st_size > 0


def no_file(given: str, folder: Path) -> str:
    """That there is none, with the name that may be meant."""
    return f"no file {given!r}.{_looked((folder / Path(given).expanduser()).absolute())}"


def _looked(path: Path) -> str:
    """The name that may be meant, or else where it was looked for."""
    return did_you_mean_file(path) or f" Looked in {path.parent}"
