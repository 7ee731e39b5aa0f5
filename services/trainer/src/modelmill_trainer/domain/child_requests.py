"""Requests to child processes, sent as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.evaluation_plan import EvaluationPlan
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.json_value import JsonValue
from modelmill_trainer.domain.limits import MachinePrice, TrainingLimits


@dataclass(frozen=True, kw_only=True)
class TrainRequest(JsonValue):
    """A training run over local, verified folders."""

    base_folder: Path
    """Hugging Face folder of the base model."""
    base_version_id: str
    context_tokens: int
    """The base model's limit; 0 when it is not known."""
    dataset_folder: Path
    """train.jsonl, valid.jsonl, test.jsonl."""
    checkpoint_folder: Path | None
    """Checkpoint of an earlier attempt; None for a fresh start."""
    choices: tuple[str, ...]
    """Classification labels for scoring the test split; empty to skip scoring."""
    hyper_parameters: HyperParameters
    threads: int
    """torch threads per process; 0 for one per core."""
    distribution: Distribution | None = None
    """Options of a distributed run; None for one process."""
    cluster: KubernetesCluster | None = None
    """Kubernetes cluster for the ranks; None to run them on this machine."""
    teacher_folder: Path | None = None
    """Hugging Face folder of the teacher, for objective distillation."""
    teacher_adapter_folder: Path | None = None
    """PEFT folder of the teacher's LoRA adapter; None if the teacher is a whole model."""
    adapter_folder: Path | None = None
    """PEFT folder of the LoRA adapter to continue from; None for a new one."""
    validation_folder: Path | None = None
    """Dataset whose rows replace the valid split; None for the dataset's own."""
    limits: TrainingLimits = field(default_factory=TrainingLimits)
    price: MachinePrice = field(default_factory=MachinePrice)
    seconds_between_interruptions: float = 3600.0
    """Mean time between worker failures that the operator expects."""
    base_correct: tuple[bool, ...] | None = None
    """Known results of the base on the test split; None to score it."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders that the run reads."""
        values = (getattr(self, each.name) for each in fields(self))
        return tuple(value for value in values if isinstance(value, Path))


@dataclass(frozen=True)
class TaskFiles:
    """A task's YAML and the files that it names."""

    config: str
    files: Mapping[str, Path]
    """Path by the file name used in the config."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest(JsonValue):
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


@dataclass(frozen=True, kw_only=True)
class TeachingRequest(JsonValue):
    """A dataset, a teacher and sampling options; the teacher is reached through the parent."""

    dataset_folder: Path
    teacher_version_id: str
    max_new_tokens: int
    temperature: float
    """Sampling temperature; 0 is greedy."""
    seed: int
    at_once: int
    """Concurrent requests."""
    checkpoint_seconds: float
    """Interval between checkpoints."""
    checkpoint_folder: Path | None
    """Checkpoint of an earlier attempt; None for a fresh start."""
