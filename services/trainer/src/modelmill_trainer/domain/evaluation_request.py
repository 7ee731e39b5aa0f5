"""What the work process of an evaluation is asked to do; crosses to it as JSON."""

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
    """By the names that the config has for them."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """An evaluation over local, verified folders, of models that the parent has opened."""

    asked: tuple[str, ...]
    """Models as the spec names them: the measured one, and the other if there is one."""
    versions: tuple[str, ...]
    """That they are."""
    dataset_folder: Path | None
    choices: tuple[str, ...]
    """Answers that the dataset's rows choose among; none where there are no such."""
    tasks: tuple[TaskFiles, ...]
    plan: EvaluationPlan
    at_once: int
    """Questions that are open at any time."""
    checkpoint_seconds: float
    """Between two savings of answers."""
    checkpoint_folder: Path | None
    """Answers that an earlier attempt left; None for a fresh start."""

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
