"""Ports: what use cases ask of the services and stores around them, implemented by adapters."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message
from modelmill.data_prep.v1 import data_prep_service_pb2 as data_prep
from modelmill.gateway.v1.gateway_events_pb2 import UsageRecorded
from modelmill.jobs.v1.job_pb2 import JobDesiredState, JobPriority
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2 import (
    BuildSpec,
    SizeBuildResponse,
)
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill.trainer.v1.evaluation_pb2 import (
    EvaluationRowFilter,
    EvaluationSpec,
    ListEvaluationRowsResponse,
    SizeEvaluationJobResponse,
)
from modelmill.trainer.v1.trainer_service_pb2 import (
    SizeFineTuningJobResponse,
    StepFigures,
    TrainSpec,
)
from modelmill_guard.judge import Window
from modelmill_guard.judging import Ruling
from modelmill_job_index.metric_series import MetricSeries

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.chat import ChatCall, CountedPrompt, Embedded, Piece
from modelmill_gateway.domain.exchanges import Exchange
from modelmill_gateway.domain.models import AskedModel
from modelmill_gateway.domain.verdict import InputVerdict
from modelmill_gateway.domain.webhooks import Reply

SpecT_contra = TypeVar("SpecT_contra", bound=Message, contravariant=True)


@dataclass(frozen=True)
class AcceptedJob:
    """Accepted job; `sequence` is that of its request in the JOBS stream."""

    job_id: str
    sequence: int


@dataclass(frozen=True)
class RetiredVersions:
    """Retired versions, the asked one first; `sequence` is that of the last `model.retired`."""

    version_ids: Sequence[str]
    sequence: int


@dataclass(frozen=True)
class ServiceStatus:
    """One replica of a service, at the address that the gateway calls."""

    service: str
    address: str
    status: str
    """`serving`, `not_serving` or `unreachable`."""
    version: str
    """Empty when it does not answer."""


@dataclass(frozen=True)
class ActiveAlert:
    """An alert of Prometheus that fires, or will if nothing changes."""

    name: str
    state: str
    """`firing` or `pending`."""
    severity: str
    """`page`: callers notice; `ticket`: they will. Empty for a rule that does not say."""
    summary: str
    remedy: str
    """Empty for a rule that does not say."""
    runbook_url: str
    """Empty where there is none."""
    since: float
    """Seconds since 1970; 0 where it is not known."""
    labels: Mapping[str, str]
    """What the alert is about."""


class AlertSource(Protocol):
    """See `modelmill_gateway.adapters.prometheus.PrometheusAlerts`."""

    async def __call__(self) -> Sequence[ActiveAlert]: ...


@dataclass(frozen=True)
class SignInProvider:
    """An OpenID provider at which people sign in to the console, and where."""

    issuer: str
    client_id: str
    scope: str
    authorization_endpoint: str
    token_endpoint: str


class SignInSource(Protocol):
    """See `modelmill_gateway.adapters.sign_in.SignInProviders`."""

    @property
    def providers(self) -> Sequence[SignInProvider]:
        """Those that are known by now."""


class Moderation(Protocol):
    """Judges inputs, and windows of answers."""

    async def check_input(self, text: str, *, tenant: str, timeout: float) -> InputVerdict: ...

    async def judge_window(
        self, judge_id: str, window: Window, *, tenant: str, policy_digest: str, timeout: float
    ) -> Ruling: ...


class Engines(Protocol):
    """Inference; leaving the block of `generate` stops the generation."""

    def generate(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]: ...

    async def embed(
        self, texts: Sequence[str], *, tenant: str, asked: AskedModel, timeout: float
    ) -> Embedded: ...

    async def count(
        self, call: ChatCall, *, tenant: str, asked: AskedModel, timeout: float
    ) -> CountedPrompt: ...

    async def load(self, *, tenant: str, version_id: str, timeout: float) -> None: ...


class WebhookSending(Protocol):
    """Sends events to endpoints; `check` raises BadRequestError for a URL that gets none."""

    async def check(self, url: str) -> None: ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply: ...


class UsageRecords(Protocol):
    """Takes records without waiting."""

    def record(self, usage: UsageRecorded) -> None: ...


class ExchangeLog(Protocol):
    """Takes exchanges without waiting."""

    def record(self, exchange: Exchange) -> None: ...


class DataPrep(Protocol):
    """Where files are kept and datasets are made; errors as its gRPC service says."""

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        *,
        tenant: str,
        filename: str,
        purpose: str,
        file_id: str = "",
        expires_after_seconds: int = 0,
    ) -> FileState: ...

    async def create_upload(
        self,
        *,
        tenant: str,
        filename: str,
        purpose: str,
        size_bytes: int,
        expires_after_seconds: int = 0,
    ) -> data_prep.Upload: ...

    async def add_upload_part(
        self, chunks: AsyncIterator[bytes], *, tenant: str, upload_id: str
    ) -> data_prep.AddUploadPartResponse: ...

    async def complete_upload(
        self, *, tenant: str, upload_id: str, part_ids: Sequence[str], md5: str
    ) -> data_prep.Upload: ...

    async def cancel_upload(self, *, tenant: str, upload_id: str) -> data_prep.Upload: ...

    async def get(self, *, tenant: str, file_id: str) -> FileState: ...

    async def list(self, *, tenant: str) -> Sequence[FileState]: ...

    def content(self, *, tenant: str, file_id: str) -> AsyncIterator[bytes]: ...

    async def delete_file(self, *, tenant: str, file_id: str) -> int: ...

    async def delete_dataset(self, *, tenant: str, dataset_id: str, requested_by: str) -> int: ...

    async def preview_dataset(
        self, spec: data_prep.DatasetSpec, *, tenant: str, rows: int
    ) -> data_prep.PreviewDatasetResponse: ...

    async def explain_row(
        self, *, tenant: str, dataset_id: str, line: int, file_id: str
    ) -> Sequence[data_prep.RowProvenance]: ...

    async def diff_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, samples: int
    ) -> data_prep.DiffDatasetsResponse: ...

    async def compare_datasets(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str
    ) -> data_prep.CompareDatasetsResponse: ...

    async def list_unshared_rows(
        self, *, tenant: str, dataset_id: str, other_dataset_id: str, after: int, limit: int
    ) -> data_prep.ListUnsharedRowsResponse: ...

    def report(
        self, *, tenant: str, dataset_id: str, report_format: str, job_id: str
    ) -> AsyncIterator[bytes]: ...


class Trainer(Protocol):
    """Knows what its jobs would need, and what they made and measured, and retires it."""

    async def size_training(self, spec: TrainSpec, *, tenant: str) -> SizeFineTuningJobResponse: ...

    async def size_evaluation(
        self, spec: EvaluationSpec, *, tenant: str
    ) -> SizeEvaluationJobResponse: ...

    async def step_figures(
        self, tenant: str, job_id: str, after_step: int | None = None
    ) -> Sequence[StepFigures]: ...

    async def step_metrics(self, tenant: str, job_id: str) -> Mapping[str, MetricSeries]: ...

    async def retire_model(
        self, *, tenant: str, version_id: str, requested_by: str
    ) -> RetiredVersions: ...

    def read_evaluation(self, *, tenant: str, job_id: str, wanted: str) -> AsyncIterator[bytes]: ...

    async def list_evaluation_rows(
        self, *, tenant: str, job_id: str, after: int, limit: int, wanted: EvaluationRowFilter
    ) -> ListEvaluationRowsResponse: ...


class Builder(Protocol):
    """Knows what its jobs would need."""

    async def size_build(self, spec: BuildSpec, *, tenant: str) -> SizeBuildResponse: ...


class Owner(Protocol[SpecT_contra]):
    """Takes orders for jobs of one kind; its refusals are domain errors."""

    async def create(
        self,
        spec: SpecT_contra,
        caller: Caller,
        *,
        idempotency_key: str,
        priority: JobPriority.ValueType,
    ) -> AcceptedJob: ...


class JobOwner(Protocol):
    """The service that owns jobs of one kind; see `modelmill.jobs.v1.JobService`."""

    async def control(
        self,
        *,
        tenant: str,
        job_id: str,
        desired_state: JobDesiredState.ValueType,
        requested_by: str,
    ) -> int:
        """Record the desired state; gives its sequence in the JOBS stream."""
