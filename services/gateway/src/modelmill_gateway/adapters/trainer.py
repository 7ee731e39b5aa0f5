"""The trainer service: training jobs, evaluations, and the end of model versions."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
from modelmill.trainer.v1 import evaluation_pb2 as pb
from modelmill.trainer.v1.trainer_service_pb2 import (
    ListStepFiguresRequest,
    RetireModelRequest,
    SizeFineTuningJobRequest,
    SizeFineTuningJobResponse,
    StepFigures,
    StreamStepMetricsRequest,
    TrainSpec,
)
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceStub
from modelmill_job_index.metric_series import MetricSeries
from modelmill_service_kit.grpc_client import domain_errors

from modelmill_gateway.adapters.data_prep import downloaded
from modelmill_gateway.ports import RetiredVersions

PEER = "the trainer"
CALL_SECONDS = 30.0


class GrpcTrainer:
    """The trainer behind its gRPC port."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TrainerServiceStub(channel)

    async def size_training(self, spec: TrainSpec, *, tenant: str) -> SizeFineTuningJobResponse:
        """What a training would read and need.

        Raises:
            InvalidInputError: the spec is wrong; lists every error.
            NotFoundError: base model or dataset is unknown, and nothing else is wrong.
            PreconditionError: there is nobody to give a teacher's answers.
            UnavailableError: the trainer or the store does not answer.
        """
        request = SizeFineTuningJobRequest(tenant=tenant, spec=spec)
        with domain_errors(PEER):
            return await self._stub.SizeFineTuningJob(request, timeout=CALL_SECONDS)

    async def size_evaluation(
        self, spec: pb.EvaluationSpec, *, tenant: str
    ) -> pb.SizeEvaluationJobResponse:
        """What an evaluation would read and need.

        Raises:
            InvalidInputError: the spec is wrong; lists every error.
            NotFoundError: a model, the dataset or a file is unknown, and nothing else is wrong.
            PreconditionError: the trainer has no inference service to ask.
            UnavailableError: the trainer does not answer.
        """
        request = pb.SizeEvaluationJobRequest(tenant=tenant, spec=spec)
        with domain_errors(PEER):
            return await self._stub.SizeEvaluationJob(request, timeout=CALL_SECONDS)

    async def step_figures(
        self, tenant: str, job_id: str, after_step: int | None = None
    ) -> Sequence[StepFigures]:
        """What was measured at the last steps of a run that succeeded, oldest first.

        Args:
            after_step: the first steps behind this one instead.

        Raises:
            NotFoundError: no such job of the tenant's, or it has made no model.
            UnavailableError: the trainer, the bus or the store does not answer.
        """
        request = ListStepFiguresRequest(tenant=tenant, job_id=job_id, after_step=after_step)
        with domain_errors(PEER):
            response = await self._stub.ListStepFigures(request, timeout=CALL_SECONDS)
        return response.steps

    async def step_metrics(self, tenant: str, job_id: str) -> Mapping[str, MetricSeries]:
        """What a run has measured at every step up to its newest checkpoint, by name.

        Raises:
            NotFoundError: no such job of the tenant's, or it has saved nothing yet.
            UnavailableError: the trainer, the bus or the store does not answer.
        """
        found: defaultdict[str, MetricSeries] = defaultdict(MetricSeries)
        request = StreamStepMetricsRequest(tenant=tenant, job_id=job_id)
        with domain_errors(PEER):
            async for part in self._stub.StreamStepMetrics(request, timeout=CALL_SECONDS):
                for column in part.columns:
                    found[column.name].extend(column.steps, column.values)
        return found

    async def retire_model(
        self, *, tenant: str, version_id: str, requested_by: str
    ) -> RetiredVersions:
        """Take a version and the builds made from it out of use.

        Raises:
            NotFoundError: unknown, retired, or not the tenant's own.
            PreconditionError: an alias or an adapter uses it; the message names which.
            UnavailableError: the bus does not answer.
        """
        request = RetireModelRequest(
            tenant=tenant, version_id=version_id, requested_by=requested_by
        )
        with domain_errors(PEER):
            response = await self._stub.RetireModel(request, timeout=CALL_SECONDS)
        return RetiredVersions(tuple(response.version_ids), response.sequence)

    def read_evaluation(self, *, tenant: str, job_id: str, wanted: str) -> AsyncIterator[bytes]:
        """What an evaluation found, as the bytes come. Raises NotFoundError on the first step."""
        request = pb.DownloadEvaluationRequest(tenant=tenant, job_id=job_id, format=wanted)
        return downloaded(self._stub.DownloadEvaluation, request, PEER)

    async def list_evaluation_rows(
        self, *, tenant: str, job_id: str, after: int, limit: int, wanted: pb.EvaluationRowFilter
    ) -> pb.ListEvaluationRowsResponse:
        """Rows of an evaluation behind a line that match.

        Raises:
            InvalidInputError: the rows have no group of the slice.
            NotFoundError: no such job of the tenant's, or it has not succeeded.
            UnavailableError: the trainer, the bus or the store does not answer.
        """
        request = pb.ListEvaluationRowsRequest(
            tenant=tenant, job_id=job_id, after=after, limit=limit, filter=wanted
        )
        with domain_errors(PEER):
            return await self._stub.ListEvaluationRows(request, timeout=CALL_SECONDS)
