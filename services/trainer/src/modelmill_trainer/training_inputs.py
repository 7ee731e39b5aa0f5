"""Inputs of a training run."""

from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import DatasetReady, ModelReady
from modelmill_registry.manifest import Manifest
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.distribution import Distribution
from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import DISTILLATION
from modelmill_trainer.domain.resource_estimate import training_needs


@dataclass(frozen=True)
class TrainingInputs:
    """Models, datasets and hyper-parameters of one run."""

    base: ModelReady
    dataset: DatasetReady
    choices: HyperParameters
    distribution: Distribution | None = None
    teacher: ModelReady | None = None
    adapter: ModelReady | None = None
    """LoRA adapter to continue from."""
    validation: DatasetReady | None = None
    """Dataset whose rows replace the valid split."""
    rows: Manifest | None = None
    """Artifact with the teacher's answers, which replace the dataset's rows."""

    @property
    def needs(self) -> MachineSize:
        """Estimated machine size of one process."""
        teacher_bytes = self.loaded_teacher.size_bytes if self.loaded_teacher else 0
        return training_needs(self.choices, self.base.size_bytes, teacher_bytes)

    @property
    def loaded_teacher(self) -> ModelReady | None:
        """The teacher, if the run itself loads its weights (objective distillation)."""
        return self.teacher if self.choices.objective == DISTILLATION else None

    @property
    def context_tokens(self) -> int:
        """Context of the trained model, less the tokens of its soft prompt."""
        return max(self.base.context_tokens - self.choices.soft_prompt_tokens, 0)

    @property
    def made_from(self) -> dict[str, str]:
        """Digest by role, for manifests."""
        roles = {"base": self.base.digest, "dataset": self.dataset.digest}
        if self.teacher is not None:
            roles["teacher"] = self.teacher.digest
        if self.adapter is not None:
            roles["adapter"] = self.adapter.digest
        if self.validation is not None:
            roles["validation"] = self.validation.digest
        return roles if self.rows is None else roles | {"rows": self.rows.digest}
