"""What a training run is made from."""

from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_registry.manifest import Manifest
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import DISTILLATION
from modelmill_trainer.domain.needs import training_needs


@dataclass(frozen=True)
class Ingredients:
    """What a run is made from."""

    base: ModelReady
    dataset: DatasetReady
    choices: HyperParameters
    distribution: Distribution | None = None
    teacher: ModelReady | None = None
    adapter: ModelReady | None = None
    """What the run goes on from, beside the base."""
    validation: DatasetReady | None = None
    """Whose rows take the place of the dataset's valid split."""
    rows: Manifest | None = None
    """What is learned from instead of the dataset's rows, where a teacher has answered."""

    @property
    def needs(self) -> MachineSize:
        """What was asked of the machine, for each process."""
        teacher_bytes = self.loaded_teacher.size_bytes if self.loaded_teacher else 0
        return training_needs(self.choices, self.base.size_bytes, teacher_bytes)

    @property
    def loaded_teacher(self) -> ModelReady | None:
        """The teacher, where the run computes what it says itself."""
        return self.teacher if self.choices.objective == DISTILLATION else None

    @property
    def context_tokens(self) -> int:
        """Of the tuned model; what stands before every text is no room of the caller's."""
        return max(self.base.context_tokens - self.choices.beginning_tokens, 0)

    @property
    def made_from(self) -> dict[str, str]:
        """Role to digest, for manifests."""
        roles = {"base": self.base.digest, "dataset": self.dataset.digest}
        if self.teacher is not None:
            roles["teacher"] = self.teacher.digest
        if self.adapter is not None:
            roles["adapter"] = self.adapter.digest
        if self.validation is not None:
            roles["validation"] = self.validation.digest
        return roles if self.rows is None else roles | {"rows": self.rows.digest}
