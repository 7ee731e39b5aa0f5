"""Jobs of every kind; what orders, follows and steers them."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal, Unpack, cast

from modelmill_client import types
from modelmill_client._async.transport import AsyncJobStream, AsyncResource, AsyncTransport
from modelmill_client.errors import JobFailedError, WaitTimeoutError
from modelmill_client.wire import ENDED, PAGE, PATIENCE_SECONDS, path_of, present

TUNING = ("fine_tuning", "jobs")


class AsyncJobs(AsyncResource):
    """/v1/jobs: jobs of every kind, by any job's id."""

    def list(
        self,
        *,
        kind: str | None = None,
        status: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.Job]:
        """Every job, newest first, fetched page by page as it is read.

        Args:
            status: those that it may have.
            idempotency_key: that it was ordered under.
        """
        return self._transport.each(
            "/v1/jobs",
            kind=kind,
            status=status,
            idempotency_key=idempotency_key,
            after=after,
            page_size=page_size,
        )

    async def retrieve(self, job_id: str) -> types.Job:
        """A job as it stands."""
        return cast(types.Job, await self._transport.call("GET", path_of("jobs", job_id)))

    def events(
        self, job_id: str, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.JobEvent]:
        """What has happened so far, newest first."""
        path = path_of("jobs", job_id, "events")
        return self._transport.each(path, after=after, page_size=page_size)

    async def metrics(
        self,
        job_id: str,
        *,
        points: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
        name: Sequence[str] | None = None,
    ) -> types.JobMetricsReport:
        """What it has measured, by step.

        Args:
            points: of a series at most; extremes, the first and the last are among them.
            from_step: the first step, and `to_step` the last.
            name: those of the metrics that are asked for.
        """
        asked = {"points": points, "from_step": from_step, "to_step": to_step, "name": name}
        path = path_of("jobs", job_id, "metrics")
        found = await self._transport.call("GET", path, params=present(asked))
        return cast(types.JobMetricsReport, found)

    async def metrics_csv(self, job_id: str) -> bytes:
        """Every point that it has measured: a line for each step, a column for each metric."""
        return await self._transport.content(path_of("jobs", job_id, "metrics"), format="csv")

    async def compare(
        self,
        job_id: str,
        others: Sequence[str] = (),
        *,
        points: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
        name: Sequence[str] | None = None,
    ) -> types.JobComparison:
        """Jobs side by side: settings that differ, scores, data, and what they have measured.

        Args:
            others: at most nine; values are in the order of the jobs.
            points: of a series at most; extremes, the first and the last are among them.
            from_step: the first step, and `to_step` the last.
            name: those of the metrics that are asked for.
        """
        range_ = {"from_step": from_step, "to_step": to_step}
        asked = {"other": others or None, "points": points, "name": name, **range_}
        path = path_of("jobs", job_id, "comparison")
        found = await self._transport.call("GET", path, params=present(asked))
        return cast(types.JobComparison, found)

    def follow(
        self,
        job_id: str,
        *,
        after: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncGenerator[types.JobEvent, None]:
        """Every event from the first to the last, as it happens, each once.

        Lost connections are made again, and go on where the last one ended.

        Args:
            after: id of the event behind which to begin.
            patience_seconds: how long the gateway may be away.

        Raises:
            ApiStatusError: no such job, or it may not be seen.
            ConnectionFailedError: the gateway stayed away.
        """
        path = path_of("jobs", job_id, "events")
        stream = AsyncJobStream(
            self._transport, path, after=after, patience_seconds=patience_seconds
        )
        return stream.events()

    async def wait(
        self,
        job_id: str,
        *,
        timeout: float | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> types.Job:
        """The job once it has succeeded.

        Args:
            timeout: seconds to wait at most; without one until the job ends. A quiet stream is
                looked at every 15 s.

        Raises:
            JobFailedError: it failed or was cancelled.
            WaitTimeoutError: it has not ended yet.
        """
        give_up = time.monotonic() + timeout if timeout is not None else None
        job = await self.retrieve(job_id)
        if job["status"] not in ENDED:
            stream = AsyncJobStream(
                self._transport,
                path_of("jobs", job_id, "events"),
                patience_seconds=patience_seconds,
                silence_seconds=min(timeout or patience_seconds, patience_seconds),
            )
            async with aclosing(stream.beats()) as beats:
                async for _ in beats:
                    if give_up is not None and time.monotonic() >= give_up:
                        break
            job = await self.retrieve(job_id)
        if job["status"] not in ENDED:
            raise WaitTimeoutError(
                f"job {job_id} is {job['status']} after {timeout:g} s. Wait again, or cancel it"
            )
        if job["status"] != "succeeded":
            raise JobFailedError(job)
        return job

    async def cancel(self, job_id: str) -> types.Job:
        """Cancel a job for good."""
        return cast(types.Job, await self._steer(job_id, "cancel"))

    async def pause(self, job_id: str) -> types.Job:
        """Pause a job; its worker saves a checkpoint."""
        return cast(types.Job, await self._steer(job_id, "pause"))

    async def resume(self, job_id: str) -> types.Job:
        """Resume a paused or failed job."""
        return cast(types.Job, await self._steer(job_id, "resume"))

    async def _steer(self, job_id: str, action: str) -> Any:
        return await self._transport.call("POST", path_of("jobs", job_id, action))


class AsyncFineTuningJobs(AsyncResource):
    """/v1/fine_tuning/jobs."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.FineTuningBody]
    ) -> types.FineTuningJob:
        """Order a fine-tuning; a call repeated with the same key gives the same job."""
        made = await self._transport.call(
            "POST", path_of(*TUNING), json=body, idempotency_key=idempotency_key
        )
        return cast(types.FineTuningJob, made)

    async def estimate(self, **body: Unpack[types.FineTuningBody]) -> types.FineTuningEstimate:
        """What a fine-tuning would read, need and take; nothing is ordered."""
        found = await self._transport.call("POST", path_of(*TUNING, "estimate"), json=body)
        return cast(types.FineTuningEstimate, found)

    def list(
        self,
        *,
        metadata: dict[str, str] | None = None,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.FineTuningJob]:
        """Every fine-tuning job with this metadata, newest first."""
        filters = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        return self._transport.each(path_of(*TUNING), after=after, page_size=page_size, **filters)

    async def retrieve(self, job_id: str) -> types.FineTuningJob:
        """A fine-tuning job as it stands."""
        found = await self._transport.call("GET", path_of(*TUNING, job_id))
        return cast(types.FineTuningJob, found)

    def events(
        self, job_id: str, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.JobEvent]:
        """What has happened so far, newest first."""
        path = path_of(*TUNING, job_id, "events")
        return self._transport.each(path, after=after, page_size=page_size)

    def follow(
        self,
        job_id: str,
        *,
        after: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncGenerator[types.JobEvent, None]:
        """Every event as it happens, like that of `jobs`, in OpenAI's words."""
        path = path_of(*TUNING, job_id, "events")
        stream = AsyncJobStream(
            self._transport, path, after=after, patience_seconds=patience_seconds
        )
        return stream.events()

    def checkpoints(
        self, job_id: str, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Checkpoint]:
        """Saved states of a job, newest first."""
        path = path_of(*TUNING, job_id, "checkpoints")
        return self._transport.each(path, after=after, page_size=page_size)

    async def cancel(self, job_id: str) -> types.FineTuningJob:
        """Cancel a job for good."""
        return cast(types.FineTuningJob, await self._steer(job_id, "cancel"))

    async def pause(self, job_id: str) -> types.FineTuningJob:
        """Pause a job; its worker saves a checkpoint."""
        return cast(types.FineTuningJob, await self._steer(job_id, "pause"))

    async def resume(self, job_id: str) -> types.FineTuningJob:
        """Resume a paused or failed job."""
        return cast(types.FineTuningJob, await self._steer(job_id, "resume"))

    async def _steer(self, job_id: str, action: str) -> Any:
        return await self._transport.call("POST", path_of(*TUNING, job_id, action))


class AsyncFineTuning:
    """/v1/fine_tuning."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.jobs = AsyncFineTuningJobs(transport)


class AsyncOptimizations(AsyncResource):
    """/v1/optimizations: builds of smaller, faster forms."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.OptimizationBody]
    ) -> types.Optimization:
        """Order a build; a call repeated with the same key gives the same job."""
        made = await self._transport.call(
            "POST", "/v1/optimizations", json=body, idempotency_key=idempotency_key
        )
        return cast(types.Optimization, made)

    async def estimate(self, **body: Unpack[types.OptimizationBody]) -> types.OptimizationEstimate:
        """What a build or a search would read, need and take; nothing is ordered."""
        path = path_of("optimizations", "estimate")
        found = await self._transport.call("POST", path, json=body, may_repeat=True)
        return cast(types.OptimizationEstimate, found)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Optimization]:
        """Every build, newest first."""
        return self._transport.each("/v1/optimizations", after=after, page_size=page_size)

    async def retrieve(self, job_id: str) -> types.Optimization:
        """A build as it stands."""
        found = await self._transport.call("GET", path_of("optimizations", job_id))
        return cast(types.Optimization, found)

    async def candidates(self, job_id: str) -> types.FormComparisonReport:
        """The candidates of a search that has ended, by cost and quality."""
        path = path_of("optimizations", job_id, "candidates")
        return cast(types.FormComparisonReport, await self._transport.call("GET", path))

    async def cancel(self, job_id: str) -> types.Optimization:
        """Cancel a build for good."""
        found = await self._transport.call("POST", path_of("optimizations", job_id, "cancel"))
        return cast(types.Optimization, found)


class AsyncEvaluations(AsyncResource):
    """/v1/evaluations."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.EvaluationBody]
    ) -> types.Evaluation:
        """Order an evaluation; a call repeated with the same key gives the same job."""
        made = await self._transport.call(
            "POST", "/v1/evaluations", json=body, idempotency_key=idempotency_key
        )
        return cast(types.Evaluation, made)

    async def estimate(self, **body: Unpack[types.EvaluationBody]) -> types.EvaluationEstimate:
        """What an evaluation would read, need and take; nothing is ordered."""
        path = path_of("evaluations", "estimate")
        found = await self._transport.call("POST", path, json=body, may_repeat=True)
        return cast(types.EvaluationEstimate, found)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Evaluation]:
        """Every evaluation, newest first."""
        return self._transport.each("/v1/evaluations", after=after, page_size=page_size)

    async def retrieve(self, job_id: str) -> types.Evaluation:
        """An evaluation as it stands."""
        found = await self._transport.call("GET", path_of("evaluations", job_id))
        return cast(types.Evaluation, found)

    async def report(self, job_id: str) -> dict[str, Any]:
        """The report of an evaluation that has succeeded."""
        path = path_of("evaluations", job_id, "report")
        return cast(dict[str, Any], await self._transport.call("GET", path))

    async def download_report(
        self,
        job_id: str,
        target: str | os.PathLike[str],
        *,
        format: Literal["json", "rows", "html"] = "html",
    ) -> None:
        """Write the report to the disk, whole or not at all; `rows` has a line for each."""
        path = path_of("evaluations", job_id, "report")
        await self._transport.download(path, target, format=format)

    def rows(
        self,
        job_id: str,
        *,
        wrong: bool = False,
        differs: bool = False,
        text: str = "",
        suite: str = "",
        group: tuple[str, str] | None = None,
        after: str | None = None,
        page_size: int = PAGE,
    ) -> AsyncIterator[types.EvaluationRow]:
        """Its rows with answers and scores, those to which all of this applies.

        Args:
            wrong: only those that the model got wrong.
            differs: only those that both models answered differently.
            text: what prompt, reference or an answer has in it, in capitals or not.
            suite: "dataset", or the name of a task.
            group: a slice that was asked for, and one of its groups.
        """
        by, value = group or (None, None)
        return self._transport.each(
            path_of("evaluations", job_id, "rows"),
            wrong=wrong or None,
            differs=differs or None,
            text=text or None,
            suite=suite or None,
            slice_by=by,
            slice_value=value,
            after=after,
            page_size=page_size,
        )

    async def cancel(self, job_id: str) -> types.Evaluation:
        """Cancel an evaluation for good."""
        found = await self._transport.call("POST", path_of("evaluations", job_id, "cancel"))
        return cast(types.Evaluation, found)


class AsyncBatches(AsyncResource):
    """/v1/batches: files of requests that are answered in the background."""

    async def create(
        self, *, idempotency_key: str | None = None, **body: Unpack[types.BatchBody]
    ) -> types.Batch:
        """Order a batch; a call repeated with the same key gives the same one."""
        made = await self._transport.call(
            "POST", "/v1/batches", json=body, idempotency_key=idempotency_key
        )
        return cast(types.Batch, made)

    def list(
        self, *, after: str | None = None, page_size: int = PAGE
    ) -> AsyncIterator[types.Batch]:
        """Every batch, newest first."""
        return self._transport.each("/v1/batches", after=after, page_size=page_size)

    async def retrieve(self, batch_id: str) -> types.Batch:
        """A batch as it stands."""
        return cast(types.Batch, await self._transport.call("GET", path_of("batches", batch_id)))

    async def cancel(self, batch_id: str) -> types.Batch:
        """Cancel a batch; what is answered by then is kept."""
        found = await self._transport.call("POST", path_of("batches", batch_id, "cancel"))
        return cast(types.Batch, found)
