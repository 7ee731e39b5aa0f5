"""The services behind the gateway that own jobs: real gRPC, real jobs, and nobody who works."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

from modelmill.data_prep.v1 import data_prep_service_pb2 as data_prep_pb
from modelmill.jobs.v1.job_pb2 import Resources
from modelmill.optimizer_builder.v1 import optimizer_builder_service_pb2 as optimizer_pb
from modelmill.optimizer_builder.v1.optimizer_builder_service_pb2_grpc import (
    OptimizerBuilderServiceServicer,
)
from modelmill.registry.v1.model_events_pb2 import DatasetRetired, FileState, ModelRetired
from modelmill.trainer.v1 import trainer_service_pb2 as trainer_pb
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import derived_id
from modelmill_bus.subjects import DATASET_RETIRED, MODEL_RETIRED
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    TooLargeError,
    UnavailableError,
)

from gateway_support.dataset_pairs import FakeDatasetPairs
from gateway_support.evaluations import FakeEvaluations
from gateway_support.uploads import FULL, FakeUploads

MAX_FILE_BYTES = 3 * 1024 * 1024


class FakeDataPrep(FakeUploads, FakeDatasetPairs):
    """Keeps files in memory; datasets are real jobs that nobody works on.

    What jobs need is not deleted, by the real rule, while `unfinished` runs.
    """

    def __init__(self, queue: JobQueue, bus: Bus) -> None:
        FakeUploads.__init__(self)
        FakeDatasetPairs.__init__(self)
        self._queue = queue
        self._bus = bus
        self.unfinished = UnfinishedJobs(bus)
        self._deleted: dict[str, tuple[FileState, bytes]] = {}
        self._numbers = itertools.count()
        self._files: dict[str, tuple[FileState, bytes]] = {}
        self._owners: dict[str, str] = {}
        """Of datasets that were ordered here."""
        self.chunk_sizes: list[int] = []
        self.specs: list[data_prep_pb.DatasetSpec] = []
        self.refusal: InvalidInputError | None = None
        self.reports: dict[str, bytes] = {}
        """Of datasets, as JSON; one that is not here says little."""
        self.provenance: list[data_prep_pb.RowProvenance] = []
        """Of whatever row somebody asks for, in place of what is said by default."""
        self.rows_explained: list[data_prep_pb.ExplainRowRequest] = []
        """Of every order of a dataset."""

    async def UploadFile(
        self, requests: AsyncIterator[data_prep_pb.UploadFileRequest], context: Any
    ) -> data_prep_pb.UploadFileResponse:
        if self.busy:
            raise FULL
        header = (await anext(aiter(requests))).header
        content = bytearray()
        async for request in requests:
            if request.WhichOneof("part") == "end":
                break
            self.chunk_sizes.append(len(request.chunk))
            content += request.chunk
            if len(content) > MAX_FILE_BYTES:
                raise TooLargeError(f"the file is larger than {MAX_FILE_BYTES} bytes")
        else:
            raise InvalidInputError("the last message must carry the end")
        file = self.keep_file(header, bytes(content))
        return data_prep_pb.UploadFileResponse(file=file)

    def keep_file(self, header: data_prep_pb.UploadHeader, content: bytes) -> FileState:
        """Store the bytes as a file."""
        if header.file_id in (self._files | self._deleted):
            raise AlreadyExistsError(f"there is a file {header.file_id!r}")
        file = FileState(
            file_id=header.file_id or f"file-{next(self._numbers)}",
            tenant=header.tenant,
            filename=header.filename,
            purpose=header.purpose,
            size_bytes=len(content),
        )
        file.created_at.GetCurrentTime()
        if header.expires_after_seconds:
            file.expires_at.seconds = file.created_at.seconds + header.expires_after_seconds
        self._files[file.file_id] = (file, content)
        return file

    async def GetFile(
        self, request: data_prep_pb.GetFileRequest, context: Any
    ) -> data_prep_pb.GetFileResponse:
        return data_prep_pb.GetFileResponse(file=self._file(request.tenant, request.file_id)[0])

    async def ListFiles(
        self, request: data_prep_pb.ListFilesRequest, context: Any
    ) -> data_prep_pb.ListFilesResponse:
        mine = [file for file, _ in self._files.values() if file.tenant == request.tenant]
        return data_prep_pb.ListFilesResponse(files=mine[::-1])

    async def DownloadFile(
        self, request: data_prep_pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[data_prep_pb.DownloadFileResponse]:
        _, content = self._file(request.tenant, request.file_id)
        for start in range(0, len(content), 1000):
            yield data_prep_pb.DownloadFileResponse(chunk=content[start : start + 1000])

    async def CreateDataset(
        self, request: data_prep_pb.CreateDatasetRequest, context: Any
    ) -> data_prep_pb.CreateDatasetResponse:
        self._file(request.tenant, request.spec.file_id)
        if self.refusal is not None:
            raise self.refusal
        self.specs.append(request.spec)
        job = await self._queue.submit(
            kind="dataset",
            prefix="job",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        dataset_id = derived_id("ds", job.job_id)
        self._owners[dataset_id] = request.tenant
        return data_prep_pb.CreateDatasetResponse(
            job_id=job.job_id, dataset_id=dataset_id, sequence=job.sequence
        )

    async def DeleteFile(
        self, request: data_prep_pb.DeleteFileRequest, context: Any
    ) -> data_prep_pb.DeleteFileResponse:
        self._file(request.tenant, request.file_id)
        file_id = request.file_id
        await self.unfinished.refuse_use(request.tenant, f"file {file_id!r}", [file_id])
        self._deleted[file_id] = self._files.pop(file_id)
        return data_prep_pb.DeleteFileResponse(sequence=1)

    async def DeleteDataset(
        self, request: data_prep_pb.DeleteDatasetRequest, context: Any
    ) -> data_prep_pb.DeleteDatasetResponse:
        owner = self._owners.get(request.dataset_id, request.tenant)
        if request.dataset_id in ("", "ds-nobody") or owner != request.tenant:
            raise NotFoundError(f"no dataset {request.dataset_id!r}")
        what = f"dataset {request.dataset_id!r}"
        await self.unfinished.refuse_use(request.tenant, what, [request.dataset_id])
        retired = DatasetRetired(dataset_id=request.dataset_id, tenant=request.tenant)
        sequence = await self._bus.publish(DATASET_RETIRED, retired)
        return data_prep_pb.DeleteDatasetResponse(sequence=sequence)

    async def ExplainRow(
        self, request: data_prep_pb.ExplainRowRequest, context: Any
    ) -> data_prep_pb.ExplainRowResponse:
        self._dataset(request.tenant, request.dataset_id)
        self.rows_explained.append(request)
        if self.provenance:
            return data_prep_pb.ExplainRowResponse(provenance=self.provenance)
        row = '{"messages": [{"role": "user", "content": "hi"}], "row": 2}'
        kept = data_prep_pb.RowProvenance(
            line=request.line, outcome="kept", split="train", row_json=row, changes=["spaces@1"]
        )
        gone = data_prep_pb.RowProvenance(
            line=request.line, outcome="dropped", rule="duplicates.exact", made_by="synonyms@1"
        )
        return data_prep_pb.ExplainRowResponse(provenance=[kept, gone])

    async def DiffDatasets(
        self, request: data_prep_pb.DiffDatasetsRequest, context: Any
    ) -> data_prep_pb.DiffDatasetsResponse:
        self._dataset(request.tenant, request.dataset_id)
        self._dataset(request.tenant, request.other_dataset_id)
        rows = [f'{{"row": {n}}}' for n in range(request.samples)]
        return data_prep_pb.DiffDatasetsResponse(rows_added=200, added=rows)

    async def DownloadReport(
        self, request: data_prep_pb.DownloadReportRequest, context: Any
    ) -> AsyncIterator[data_prep_pb.DownloadReportResponse]:
        if request.job_id:
            yield data_prep_pb.DownloadReportResponse(chunk=f"of {request.job_id}".encode())
            return
        self._dataset(request.tenant, request.dataset_id)
        if request.format == "json" and request.dataset_id in self.reports:
            yield data_prep_pb.DownloadReportResponse(chunk=self.reports[request.dataset_id])
            return
        for chunk in (b'{"report": "', request.format.encode() + b'"}'):
            yield data_prep_pb.DownloadReportResponse(chunk=chunk)

    def _dataset(self, tenant: str, dataset_id: str) -> None:
        mine = self._owners.get(dataset_id) == tenant or dataset_id.startswith(f"ds-{tenant}")
        if not mine:
            raise NotFoundError(f"no dataset {dataset_id!r}")

    def owner_of(self, file_id: str) -> str | None:
        file = self._files.get(file_id)
        return file[0].tenant if file is not None else None

    def _file(self, tenant: str, file_id: str) -> tuple[FileState, bytes]:
        file = self._files.get(file_id)
        if file is None or file[0].tenant != tenant:
            raise NotFoundError(f"no file {file_id!r}")
        return file


FIGURES_AT_ONCE, MAX_STEPS = 2, 1000
METRICS_AT_ONCE = 10_000
"""Steps of a page, of which tests have few."""


GIB = 1 << 30
SIZED = trainer_pb.SizeFineTuningJobResponse(
    train_rows=80,
    test_rows=10,
    row_tokens=50.0,
    epochs=2,
    batch_size=8,
    row_visits=160,
    base_bytes=2_000_000,
    needs=Resources(cpus=1, memory_bytes=2 * GIB),
    worker=Resources(cpus=2, memory_bytes=4 * GIB),
)
"""Of every training, but for its spec."""
SIZED_BUILD = optimizer_pb.SizeBuildResponse(
    test_rows=40,
    built_bytes=1_000_000,
    needs=Resources(cpus=1, memory_bytes=2 * GIB),
    worker=Resources(cpus=2, memory_bytes=4 * GIB),
)
"""Of every build, but for its spec."""


class FakeTrainer(FakeEvaluations):
    """Accepts real jobs that nobody works on; checks two of the rules."""

    def __init__(self, queue: JobQueue, bus: Bus) -> None:
        super().__init__(queue)
        self._bus = bus
        self.in_use: str = ""
        """A version that something needs."""
        self.figures: dict[str, list[float]] = {}
        """Losses by job."""
        self.unread: set[str] = set()
        """Jobs whose losses cannot be read now."""
        self.metric_reads = 0
        self.specs: list[trainer_pb.TrainSpec] = []
        self.sized: list[trainer_pb.TrainSpec] = []
        self.size = SIZED

    async def CreateFineTuningJob(
        self, request: trainer_pb.CreateFineTuningJobRequest, context: Any
    ) -> trainer_pb.CreateFineTuningJobResponse:
        _check_training(request.spec)
        self.specs.append(request.spec)
        job = await self._queue.submit(
            kind="train",
            prefix="ftjob",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return trainer_pb.CreateFineTuningJobResponse(job_id=job.job_id, sequence=job.sequence)

    async def SizeFineTuningJob(
        self, request: trainer_pb.SizeFineTuningJobRequest, context: Any
    ) -> trainer_pb.SizeFineTuningJobResponse:
        _check_training(request.spec)
        self.sized.append(request.spec)
        spec = trainer_pb.TrainSpec()
        spec.CopyFrom(request.spec)
        spec.method = spec.method or trainer_pb.TRAINING_METHOD_LORA
        spec.objective = spec.objective or trainer_pb.TRAINING_OBJECTIVE_ANSWERS
        answer = trainer_pb.SizeFineTuningJobResponse(spec=spec)
        answer.MergeFrom(self.size)
        return answer

    async def ListStepFigures(
        self, request: trainer_pb.ListStepFiguresRequest, context: Any
    ) -> trainer_pb.ListStepFiguresResponse:
        if request.job_id not in self.figures:
            raise NotFoundError(f"no finished training job {request.job_id!r}")
        losses = list(enumerate(self.figures[request.job_id], 1))
        if request.HasField("after_step"):
            losses = [each for each in losses if each[0] > request.after_step][:FIGURES_AT_ONCE]
        shown = losses[-MAX_STEPS:]
        steps = [trainer_pb.StepFigures(step=step, metrics={"loss": loss}) for step, loss in shown]
        return trainer_pb.ListStepFiguresResponse(steps=steps)

    async def StreamStepMetrics(
        self, request: trainer_pb.StreamStepMetricsRequest, context: Any
    ) -> AsyncIterator[trainer_pb.StreamStepMetricsResponse]:
        self.metric_reads += 1
        if request.job_id in self.unread:
            raise UnavailableError("the store does not answer")
        if request.job_id not in self.figures:
            raise NotFoundError(f"no training job with a checkpoint {request.job_id!r}")
        losses = self.figures[request.job_id]
        for begin in range(0, len(losses), METRICS_AT_ONCE):
            values = losses[begin : begin + METRICS_AT_ONCE]
            steps = range(begin + 1, begin + 1 + len(values))
            column = trainer_pb.StepMetricColumn(name="loss", steps=steps, values=values)
            yield trainer_pb.StreamStepMetricsResponse(columns=[column])

    async def RetireModel(
        self, request: trainer_pb.RetireModelRequest, context: Any
    ) -> trainer_pb.RetireModelResponse:
        if request.version_id == self.in_use:
            raise PreconditionError("the alias 'live' names it. Move the alias first")
        if not request.version_id.startswith("mv-mine"):
            raise NotFoundError(f"no model {request.version_id!r}")
        retired = ModelRetired(version_id=request.version_id, tenant=request.tenant)
        sequence = await self._bus.publish(MODEL_RETIRED, retired)
        return trainer_pb.RetireModelResponse(version_ids=[request.version_id], sequence=sequence)


def _check_training(spec: trainer_pb.TrainSpec) -> None:
    chosen = spec.hyper_parameters
    errors = []
    if chosen.learning_rate > 1:
        errors.append("learning_rate must be at most 1")
    if chosen.lora_rank > 256:
        errors.append("lora_rank must be at most 256")
    is_taught = spec.objective == trainer_pb.TRAINING_OBJECTIVE_DISTILLATION
    if is_taught and not spec.teacher_version_id:
        errors.append("teacher_version_id is missing")
    if errors:
        raise InvalidInputError(errors)


class FakeOptimizerBuilder(OptimizerBuilderServiceServicer):
    """Accepts real jobs that nobody works on."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self.specs: list[optimizer_pb.BuildSpec] = []

    async def CreateBuild(
        self, request: optimizer_pb.CreateBuildRequest, context: Any
    ) -> optimizer_pb.CreateBuildResponse:
        _check_build(request.spec)
        self.specs.append(request.spec)
        job = await self._queue.submit(
            kind="optimize",
            prefix="job",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
            priority=request.priority,
        )
        return optimizer_pb.CreateBuildResponse(job_id=job.job_id, sequence=job.sequence)

    async def SizeBuild(
        self, request: optimizer_pb.SizeBuildRequest, context: Any
    ) -> optimizer_pb.SizeBuildResponse:
        _check_build(request.spec)
        answer = optimizer_pb.SizeBuildResponse(spec=request.spec)
        answer.MergeFrom(SIZED_BUILD)
        if request.spec.HasField("objective"):
            answer.spec.budget_seconds = request.spec.budget_seconds or 1800
            answer.ClearField("built_bytes")
        if not request.spec.dataset_id:
            answer.test_rows = 0
        return answer


def _check_build(spec: optimizer_pb.BuildSpec) -> None:
    is_search = spec.HasField("objective")
    if spec.target_form != ("" if is_search else "openvino-int8"):
        raise InvalidInputError(f"target_form: no {spec.target_form!r} is made")
