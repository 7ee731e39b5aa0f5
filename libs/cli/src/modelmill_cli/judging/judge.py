"""A judge: a model, a rubric and labels with scores, in a `judge.yaml`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from modelmill_recipes.schema_errors import read_checked
from modelmill_service_kit.errors import InvalidInputError, NotFoundError

from modelmill_cli.model_requests.budget import Budget

MAX_BYTES = 64 * 1024
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "model", "labels", "rubric"],
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 64},
        "model": {"type": "string", "minLength": 1, "maxLength": 256},
        "url": {"type": "string", "minLength": 1},
        "key_file": {"type": "string", "minLength": 1},
        "labels": {
            "type": "object",
            "minProperties": 2,
            "maxProperties": 10,
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "rubric": {"type": "string", "minLength": 1, "maxLength": 16384},
        "min_kappa": {"type": "number", "minimum": 0, "maximum": 1},
        "budget": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "max_tokens": {"type": "integer", "minimum": 1},
                "max_cost": NUMBER,
                "input_price": NUMBER,
                "output_price": NUMBER,
            },
        },
        "answer_tokens": {"type": "integer", "minimum": 8, "maximum": 8192},
        "timeout_seconds": {"type": "number", "minimum": 1, "maximum": 3600},
        "at_once": {"type": "integer", "minimum": 1, "maximum": 64},
    },
}


@dataclass(frozen=True, kw_only=True)
class AnswerJudge:
    """What `judge.yaml` says."""

    file: Path
    name: str
    model: str
    """Alias or version that is served; or a model of `url`."""
    url: str
    """OpenAI-compatible API of others; empty for the gateway's."""
    key_file: Path | None
    labels: Mapping[str, float]
    """Score by label."""
    rubric: str
    min_kappa: float
    """What the lower end of kappa's interval must be above before the judge may decide."""
    budget: Budget
    answer_tokens: int
    timeout_seconds: float
    at_once: int

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a judge.

        Raises:
            InvalidInputError: everything that is wrong with it, each with its line.
            NotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        value = _read(file)
        labels = {str(label): float(score) for label, score in value["labels"].items()}
        budget = value.get("budget", {})
        errors = [*_errors_of_labels(labels), *_errors_of_budget(budget)]
        if value.get("key_file") and not value.get("url"):
            errors.append("key_file: is for a judge of others. Name its url, too")
        if errors:
            raise InvalidInputError([f"{file}: {error}" for error in errors])
        key_file = value.get("key_file")
        return cls(
            file=file,
            name=value["name"],
            model=value["model"],
            url=value.get("url", ""),
            key_file=file.parent / Path(key_file).expanduser() if key_file else None,
            labels=labels,
            rubric=value["rubric"].strip(),
            min_kappa=float(value.get("min_kappa", 0)),
            budget=Budget(
                budget.get("max_tokens"),
                budget.get("max_cost"),
                budget.get("input_price", 0.0),
                budget.get("output_price", 0.0),
            ),
            answer_tokens=value.get("answer_tokens", 256),
            timeout_seconds=float(value.get("timeout_seconds", 120)),
            at_once=value.get("at_once", 4),
        )

    @property
    def best(self) -> str:
        """The label of the highest score, the first of equals."""
        return max(self.labels, key=lambda label: self.labels[label])

    def score(self, label: str | None) -> float:
        """Of a label; an answer that gets none counts as the worst."""
        return min(self.labels.values()) if label is None else self.labels[label]

    @property
    def journal_file(self) -> Path:
        return self.file.with_name(f"{self.file.name}.journal")


@dataclass(frozen=True)
class JudgeVersion:
    """What a judge's labels depend on; another one needs an agreement of its own."""

    model: str
    version_id: str
    """That an alias of the gateway stands for; empty for a model of others."""
    url: str
    rubric_sha256: str
    labels: Mapping[str, float]
    prompt_version: int
    """Of the words around the rubric."""

    @property
    def digest(self) -> str:
        """sha256 over all of it."""
        text = json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """For a record."""
        return {
            "model": self.version_id or self.model,
            "url": self.url,
            "rubric_sha256": self.rubric_sha256,
            "labels": dict(self.labels),
            "prompt_version": self.prompt_version,
        }


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise NotFoundError(f"no judge {str(file)!r}. Write a judge.yaml, and name it")
    return read_checked(file, SCHEMA, MAX_BYTES).value


def _errors_of_labels(labels: Mapping[str, float]) -> list[str]:
    errors = []
    if len({label.strip().casefold() for label in labels}) < len(labels):
        errors.append("labels: two differ in capitals or spaces alone. Rename one")
    if any(not 0 < len(label.strip()) <= 64 for label in labels):
        errors.append("labels: each must have 1 to 64 characters")
    if len(set(labels.values())) < 2:
        errors.append("labels: all have the same score. Give the better one a higher one")
    return errors


def _errors_of_budget(budget: Mapping[str, Any]) -> list[str]:
    if budget.get("max_cost") and not (budget.get("input_price") or budget.get("output_price")):
        return ["budget.max_cost: needs prices. Give input_price and output_price of a million"]
    return []
