"""Evaluation suites: folders of lm-eval tasks, with their rows and the licence of these."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_recipes.schema_errors import read_checked
from modelmill_recipes.suite_schema import SUITE_SCHEMA
from modelmill_recipes.suite_task import MAX_BYTES, SuiteTask, read_task

SUITE_FILE = "suite.yaml"
FOLDERS_VARIABLE = "MODELMILL_SUITES"
"""Folders of suites of one's own, divided as in PATH."""


@dataclass(frozen=True)
class EvaluationSuite:
    """Tasks that are evaluated together."""

    name: str
    description: str
    license: str
    folder: Path
    tasks: tuple[SuiteTask, ...]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a suite and its tasks.

        Raises:
            InvalidInputError: everything that is wrong with it.
            NotFoundError: there is no `suite.yaml`.
            OSError: a file cannot be read.
        """
        value = _read(folder / SUITE_FILE)
        tasks: list[SuiteTask] = []
        errors: list[str] = []
        for each in value["tasks"]:
            given = each if isinstance(each, dict) else {"task": each}
            try:
                data = given.get("data", {})
                tasks.append(read_task(folder, given["task"], data, value.get("num_fewshot")))
            except InvalidInputError as error:
                errors += [f"{folder / SUITE_FILE}: {one}" for one in error.errors]
        errors += [f"{folder / SUITE_FILE}: {one}" for one in _same_names(tasks)]
        if errors:
            raise InvalidInputError(errors)
        return cls(
            name=value["name"],
            description=value.get("description", ""),
            license=value["license"],
            folder=folder,
            tasks=tuple(tasks),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of all tasks, each once."""
        return tuple(dict.fromkeys(path for task in self.tasks for path in task.files))

    @property
    def rows(self) -> int:
        """Lines of all files that are not empty."""
        return sum(map(_count_rows, self.files))

    def order(self, ids: Mapping[Path, str]) -> dict[str, Any]:
        """Fields of an evaluation's order.

        Args:
            ids: Of the uploaded files.
        """
        tasks = [
            {"config": task.config, "data_file_ids": [ids[path] for path in task.files]}
            for task in self.tasks
        ]
        return {"tasks": tasks, "suite": {"name": self.name, "license": self.license}}


def find_suite(given: str, beside: Path | None = None) -> EvaluationSuite:
    """A suite by its folder, or by its name: of one's own folders, or built in.

    Args:
        beside: The folder to which a path is relative; None for the current one.

    Raises:
        NotFoundError: there is none.
        InvalidInputError: everything that is wrong with it.
    """
    folder = (beside or Path()) / Path(given).expanduser()
    if folder.is_dir():
        return EvaluationSuite.load(folder)
    named = suite_folders()
    if given in named:
        return EvaluationSuite.load(named[given])
    raise NotFoundError(
        f"no suite {given[:80]!r}.{did_you_mean(given, named)} `mill eval suites` lists them; the"
        f" path of a folder with a {SUITE_FILE} is one, too"
    )


def suite_folders() -> dict[str, Path]:
    """Folders of all suites by their names: built in, and in folders of one's own, which win."""
    found = dict(_suites_in(Path(str(files("modelmill_recipes"))) / "suites"))
    for each in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        found |= dict(_suites_in(Path(each).expanduser()))
    return found


def _suites_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.glob(f"*/{SUITE_FILE}")):
        yield file.parent.name, file.parent


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise NotFoundError(f"no {file}. A suite is a folder with a {SUITE_FILE}")
    return read_checked(file, SUITE_SCHEMA, MAX_BYTES).value


def _same_names(tasks: Sequence[SuiteTask]) -> list[str]:
    """What cannot be told apart once it is uploaded."""
    names = [task.name for task in tasks]
    paths = {path for task in tasks for path in task.files}
    by_name = [path.name for path in paths]
    errors = [f"two tasks are called {n!r}. Rename one" for n in set(names) if names.count(n) > 1]
    errors += [
        f"two files are called {n!r}. Rename one" for n in set(by_name) if by_name.count(n) > 1
    ]
    return sorted(errors)


def _count_rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())
