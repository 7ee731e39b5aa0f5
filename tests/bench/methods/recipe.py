"""What a bench of methods compares: tasks, and of each the arms that learn it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from modelmill_service_kit.errors import InvalidInputError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

DEMO_BASE = "demo"
"""The demo's base model, which is made and brought in where it is not there yet."""
REJECTED = "rejected"
"""Column of the worse answer, which rows of preference arms get."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
"""Also the name of a file."""
_COLUMN = re.compile(r"\{(\w+)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """One way to learn a task."""

    name: Name
    method: Literal["lora", "full", "prefix", "prompt"] = "lora"
    objective: Literal["answers", "dpo"] = "answers"
    after: str = ""
    """An arm of method `full` before it, from whose model this one starts; else the base."""
    seeds: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)] = [7]
    hyper_parameters: dict[str, Any] = {}
    """As `POST /v1/fine_tuning/jobs` takes them, which says what is wrong with them."""


class Mapping(_Strict):
    """Templates that make a conversation of a row."""

    system_template: str = ""
    user_template: str = Field(min_length=1)
    answer_template: str = Field(pattern=r"^\{\w+\}$")

    @property
    def answer_column(self) -> str:
        """The column that holds the right answer."""
        return self.answer_template[1:-1]

    @property
    def columns(self) -> set[str]:
        """All that a row must have."""
        templates = (self.system_template, self.user_template, self.answer_template)
        return {name for template in templates for name in _COLUMN.findall(template)}


class Task(_Strict):
    """Rows with one right answer each, out of few."""

    name: Name
    title: str = Field(min_length=1)
    file: str = Field(pattern=r"^[\w.-]+\.jsonl$")
    """In the folder of data."""
    rows: int = Field(gt=0)
    """Taken of the file at most, drawn by the seed."""
    mapping: Mapping
    dataset: dict[str, Any] = {}
    """What else `POST /v1/datasets` takes: shares, max_test_rows, filter, duplicates, ..."""
    arms: Annotated[list[Arm], Field(min_length=1)]

    @property
    def has_preferences(self) -> bool:
        return any(arm.objective == "dpo" for arm in self.arms)

    @model_validator(mode="after")
    def _arms_follow(self) -> Self:
        errors = [f"{self.name}: {error}" for error in self._errors_of_arms()]
        if errors:
            raise ValueError("; ".join(errors))
        return self

    def _errors_of_arms(self) -> Iterator[str]:
        before: dict[str, Arm] = {}
        for arm in self.arms:
            if arm.name in before or arm.name == "base":
                yield f"the name {arm.name} is taken"
            start = before.get(arm.after)
            if arm.after and (start is None or start.method != "full" or len(start.seeds) > 1):
                yield f"{arm.name}: after must name an arm before it, of method full and one seed"
            before[arm.name] = arm


class Price(_Strict):
    """Of a core's hour, where the bench starts Modelmill itself."""

    per_core_hour: float = Field(gt=0)
    currency: str = Field("USD", min_length=1, max_length=8)


class Recipe(_Strict):
    """A whole matrix."""

    name: Name
    title: str = Field(min_length=1)
    base: str = Field(DEMO_BASE, min_length=1)
    """`demo`, or the name or version of a model that is there."""
    seed: int = Field(7, gt=0)
    """Of the rows drawn, the splits, and the worse answers."""
    price: Price | None = None
    tasks: Annotated[list[Task], Field(min_length=1)]

    @model_validator(mode="after")
    def _tasks_differ(self) -> Self:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError("tasks must have names of their own")
        return self

    @property
    def wants_demo_base(self) -> bool:
        return self.base == DEMO_BASE

    def missing_files(self, data: Path) -> list[str]:
        """What is wrong with the folder of data; empty when all is there."""
        files = sorted({task.file for task in self.tasks})
        return [f"{data / file} is missing" for file in files if not (data / file).is_file()]


def read_recipe(file: Path) -> Recipe:
    """A recipe in YAML.

    Raises:
        InvalidInputError: lists all that is wrong with it.
    """
    try:
        return Recipe.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file} is no YAML: {error}") from error
    except ValidationError as error:
        raise InvalidInputError([f"{file}: {line}" for line in _lines(error)]) from error


def _lines(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        place = ".".join(map(str, each["loc"]))
        yield f"{place}: {each['msg']}" if place else str(each["msg"])
