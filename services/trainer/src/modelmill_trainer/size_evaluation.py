"""Use case: what an evaluation job would read and need, before it is ordered."""

from dataclasses import dataclass

from modelmill.trainer.v1.evaluation_pb2 import EvaluationSpec
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.check_evaluation_spec import EVALUATION_NEEDS, CheckEvaluationSpec


@dataclass(frozen=True)
class SizedEvaluation:
    """A spec that can be ordered, and how much it is."""

    spec: EvaluationSpec
    dataset_rows: int
    """Of the split, at most; 0 without a dataset. Of tasks nobody knows before they are read."""
    worker: MachineSize
    """As far as this process knows."""
    needs: MachineSize = EVALUATION_NEEDS


class SizeEvaluation:
    """Sizes evaluations.

    Args:
        machine: The worker size as far as this process knows.
    """

    def __init__(self, check: CheckEvaluationSpec, machine: MachineSize) -> None:
        self._check = check
        self._machine = machine

    async def __call__(self, tenant: str, spec: EvaluationSpec) -> SizedEvaluation:
        """Size it; raises as `CheckEvaluationSpec`."""
        decided = await self._check(tenant, spec)
        rows = self._check.dataset_rows(tenant, decided)
        return SizedEvaluation(decided, rows, self._machine)
