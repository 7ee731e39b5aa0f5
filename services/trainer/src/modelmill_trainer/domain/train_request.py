"""Request of a training child process, sent as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.limits import MachinePrice, TrainingLimits

FOLDERS = (
    *("base_folder", "dataset_folder", "validation_folder"),
    *("checkpoint_folder", "teacher_folder", "adapter_folder"),
)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
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
        given = (getattr(self, name) for name in FOLDERS)
        return tuple(folder for folder in given if folder is not None)

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `from_json` reads them."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return plain | {
            **{name: str(plain[name]) if plain[name] else None for name in FOLDERS},
            "choices": list(self.choices),
            "hyper_parameters": self.hyper_parameters.as_json(),
            "distribution": self.distribution.as_json() if self.distribution else None,
            "cluster": self.cluster.as_json() if self.cluster else None,
            "limits": self.limits.as_json(),
            "price": asdict(self.price),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainRequest":
        """Read what `as_json` wrote."""
        folders = {name: document.get(name) for name in FOLDERS}
        distribution, cluster = document.get("distribution"), document.get("cluster")
        known = document.get("base_correct")
        return cls(
            **dict(document)
            | {
                **{name: Path(place) if place else None for name, place in folders.items()},
                "choices": tuple(document["choices"]),
                "hyper_parameters": HyperParameters.from_json(document["hyper_parameters"]),
                "distribution": Distribution.from_json(distribution) if distribution else None,
                "cluster": KubernetesCluster.from_json(cluster) if cluster else None,
                "limits": TrainingLimits.from_json(document["limits"]),
                "price": MachinePrice(**document["price"]),
                "base_correct": tuple(known) if known is not None else None,
            }
        )
