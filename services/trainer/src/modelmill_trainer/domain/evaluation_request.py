"""Request of an evaluation's child process, sent as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelmill_trainer.domain.evaluation_plan import EvaluationPlan


@dataclass(frozen=True)
class TaskFiles:
    """A task's YAML and the files that it names."""

    config: str
    files: Mapping[str, Path]
    """Path by the file name used in the config."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """An evaluation over local, verified folders; models are reached through the parent."""

    asked: tuple[str, ...]
    """Model names of the spec: the evaluated one, then the one to compare with, if any."""
    versions: tuple[str, ...]
    """The version that each name resolved to."""
    dataset_folder: Path | None
    choices: tuple[str, ...]
    """The dataset's classification labels; empty if its answers are free text."""
    tasks: tuple[TaskFiles, ...]
    plan: EvaluationPlan
    at_once: int
    """Concurrent requests."""
    checkpoint_seconds: float
    """Interval between checkpoints."""
    checkpoint_folder: Path | None
    """Checkpoint of an earlier attempt; None for a fresh start."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        return {
            "asked": list(self.asked),
            "versions": list(self.versions),
            "dataset_folder": str(self.dataset_folder) if self.dataset_folder else None,
            "choices": list(self.choices),
            "tasks": [
                {"config": each.config, "files": {n: str(path) for n, path in each.files.items()}}
                for each in self.tasks
            ],
            "plan": self.plan.as_json(),
            "at_once": self.at_once,
            "checkpoint_seconds": self.checkpoint_seconds,
            "checkpoint_folder": str(self.checkpoint_folder) if self.checkpoint_folder else None,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "EvaluationRequest":
        """Read what `as_json` wrote."""
        folders = {name: document[name] for name in ("dataset_folder", "checkpoint_folder")}
        return cls(
            asked=tuple(document["asked"]),
            versions=tuple(document["versions"]),
            choices=tuple(document["choices"]),
            tasks=tuple(
                TaskFiles(each["config"], {n: Path(path) for n, path in each["files"].items()})
                for each in document["tasks"]
            ),
            plan=EvaluationPlan.from_json(document["plan"]),
            at_once=document["at_once"],
            checkpoint_seconds=document["checkpoint_seconds"],
            **{name: Path(folder) if folder else None for name, folder in folders.items()},
        )
