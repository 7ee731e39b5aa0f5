"""Use case: a file's record; the figures of a training job become one when they are asked for."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill.trainer.v1.trainer_service_pb2 import StepFigures
from modelmill_bus.kinds import TRAIN, derived_id
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_service_kit.errors import AlreadyExistsError, NotFoundError

from modelmill_gateway.ports import DataPrep, Trainer

PURPOSE = "fine-tune-results"
COLUMNS = {"train_loss": "loss", "valid_loss": "valid_loss"}
"""OpenAI's names of what is measured at steps, and the trainer's."""
AT_THE_END = "full_valid_loss"
"""Column of the loss that the finished model has on all rows to validate on."""


def result_file_of(record: JobRecord) -> str | None:
    """Id of the file of a training job's figures; None before it has succeeded."""
    if record.state.status != JOB_STATUS_SUCCEEDED:
        return None
    return derived_id("file", record.requested.job_id, PURPOSE)


class FindFile:
    """Figures stay in what a job made, so that nothing is stored for those who never ask."""

    def __init__(self, files: DataPrep, jobs: JobIndex, figures: Trainer) -> None:
        self._files = files
        self._jobs = jobs
        self._figures = figures

    async def __call__(self, tenant: str, file_id: str) -> FileState:
        """The record.

        Raises:
            NotFoundError: there is no such file of the tenant's, and none that could be made.
            UnavailableError: the trainer or data-prep does not answer.
        """
        try:
            return await self._files.get(tenant=tenant, file_id=file_id)
        except NotFoundError:
            job = self._job_of(tenant, file_id)
            if job is None:
                raise
        await self._make(job, file_id)
        return await self._files.get(tenant=tenant, file_id=file_id)

    def _job_of(self, tenant: str, file_id: str) -> JobRecord | None:
        jobs = self._jobs.list(tenant, TRAIN)
        return next((job for job in jobs if result_file_of(job) == file_id), None)

    async def _make(self, job: JobRecord, file_id: str) -> None:
        tenant, job_id = job.requested.tenant, job.requested.job_id
        steps: list[StepFigures] = []
        while found := await self._figures.step_figures(
            tenant, job_id, steps[-1].step if steps else 0
        ):
            steps += found
        text = results_csv(steps, dict(job.state.result.summary))
        # There is, or was, one of this id when somebody else asked, or deleted it.
        with suppress(AlreadyExistsError):
            await self._files.upload(
                _chunks(text.encode()),
                tenant=tenant,
                filename=f"{job_id}_results.csv",
                purpose=PURPOSE,
                file_id=file_id,
            )


def results_csv(steps: Sequence[StepFigures], summary: Mapping[str, object]) -> str:
    """A line for each step, with the columns that were measured at any of them."""
    measured = {key for step in steps for key in step.metrics}
    columns = {name: key for name, key in COLUMNS.items() if key in measured}
    last, at = summary.get("valid_loss"), summary.get("best_step", summary.get("steps"))
    names = ["step", *columns, *([AT_THE_END] if isinstance(last, float) else [])]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    for step in steps:
        line = {name: step.metrics.get(key, "") for name, key in columns.items()}
        own = {AT_THE_END: last} if step.step == at else {}
        writer.writerow({"step": step.step, **line, **own})
    return text.getvalue()


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content
