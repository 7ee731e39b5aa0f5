"""Use case: what a fine-tuning job would read and need, before it is ordered."""

from dataclasses import dataclass, field, replace

from modelmill.registry.v1.model_events_pb2 import DatasetReady
from modelmill.trainer.v1.trainer_service_pb2 import TrainSpec
from modelmill_job_index.job_estimates import EstimateNote
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.check_training_spec import CheckedTraining, CheckTrainingSpec
from modelmill_trainer.count_row_tokens import CountRowTokens
from modelmill_trainer.domain.auto_choices import (
    TRIAL_FACTORS,
    RunSize,
    decide_length,
    trial_steps,
)
from modelmill_trainer.domain.hyper_parameters import TEACHER_TEXT_TOKENS
from modelmill_trainer.domain.methods import PREFERENCES
from modelmill_trainer.domain.training_plan import plan_training

NO_DATASET = EstimateNote(
    "no_dataset", "rows, tokens and time are not known before the dataset is ready"
)
OTHER_ANSWERS = EstimateNote(
    "other_answers", "tokens are those of the dataset's answers; the teacher's differ"
)
ENDS_EARLY = EstimateNote("ends_early", "limits may end the run before its epochs do")
NO_TOKENS = EstimateNote("no_tokens", "tokens and time are not known")
"""Its text goes on with the reason."""


@dataclass(frozen=True)
class TrainingReads:
    """What a run reads; nothing is known of it without tokens of a row."""

    row_tokens: float
    epochs: float
    batch_size: int
    row_visits: int
    trial_visits: int
    """Of short runs that search the learning rate."""


@dataclass
class SizedTraining:
    """A spec that can be ordered, and how much it is."""

    spec: TrainSpec
    base_bytes: int
    teacher_bytes: int
    """Of a teacher whose logits are learned; 0 without one."""
    needs: MachineSize
    worker: MachineSize
    """As far as this process knows."""
    train_rows: int | None = None
    """None while the dataset is not ready."""
    test_rows: int = 0
    """Answered by base and model; 0 where they are not scored."""
    reads: TrainingReads | None = None
    notes: list[EstimateNote] = field(default_factory=list)
    """What is not known, and why."""


class SizeTraining:
    """Sizes trainings.

    Args:
        check: For datasets whose jobs need not be ordered yet.
        machine: The worker size as far as this process knows.
    """

    def __init__(
        self, check: CheckTrainingSpec, count_row_tokens: CountRowTokens, machine: MachineSize
    ) -> None:
        self._check = check
        self._count_row_tokens = count_row_tokens
        self._machine = machine

    async def __call__(self, tenant: str, spec: TrainSpec) -> SizedTraining:
        """Size it; raises as `CheckTrainingSpec`."""
        checked = await self._check(tenant, spec)
        sized = SizedTraining(
            checked.spec,
            checked.base.size_bytes,
            checked.teacher_bytes,
            checked.needs,
            self._machine,
            notes=_notes(spec),
        )
        if checked.dataset is None:
            sized.notes.append(NO_DATASET)
            return sized
        counts = checked.dataset.counts
        sized.train_rows = counts.get("train", 0)
        sized.test_rows = counts.get("test", 0) if spec.evaluate else 0
        row_tokens = await self._row_tokens(checked, checked.dataset, sized.notes)
        if row_tokens is not None and sized.train_rows:
            sized.reads = _reads(checked, sized.train_rows, row_tokens)
        return sized

    async def _row_tokens(
        self, checked: CheckedTraining, dataset: DatasetReady, notes: list[EstimateNote]
    ) -> float | None:
        with_rejected = checked.choices.objective in PREFERENCES
        try:
            return await self._count_row_tokens(checked.base, dataset, with_rejected=with_rejected)
        except (InvalidInputError, NotFoundError, PreconditionError) as error:
            notes.append(replace(NO_TOKENS, text=f"{NO_TOKENS.text}: {error.message}"))
            return None


def _notes(spec: TrainSpec) -> list[EstimateNote]:
    limits = spec.limits
    ends_early = limits.max_seconds or limits.max_cost or limits.patience
    return [OTHER_ANSWERS] * spec.HasField("teacher_answers") + [ENDS_EARLY] * bool(ends_early)


def _reads(checked: CheckedTraining, rows: int, row_tokens: float) -> TrainingReads:
    texts = checked.choices.teacher_texts
    row_tokens = (rows * row_tokens + texts * TEACHER_TEXT_TOKENS) / (rows + texts)
    rows += texts
    ranks = checked.distribution.ranks if checked.distribution else 1
    # The width decides the learning rate alone.
    size = RunSize(rows=rows, tokens=round(rows * row_tokens), width=1, ranks=ranks)
    choices = decide_length(checked.choices, size).apply(checked.choices)
    plan = plan_training(rows, choices)
    trials = len(TRIAL_FACTORS) if choices.search_learning_rate else 0
    return TrainingReads(
        row_tokens=row_tokens,
        epochs=choices.epochs,
        batch_size=choices.batch_size,
        row_visits=plan.row_visits,
        trial_visits=trials * trial_steps(plan.steps) * choices.batch_size,
    )
