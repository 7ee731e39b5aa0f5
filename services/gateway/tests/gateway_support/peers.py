"""The services behind the gateway, as real gRPC servers whose work is faked."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

from guard.bundle import CompiledPolicy
from guard.verdict import Direction
from jobs.ids import derived_id
from jobs.submit import JobQueue
from modelmill.common.v1.chat_pb2 import TokenUsage
from modelmill.data_prep.v1 import data_prep_service_pb2 as data_prep_pb
from modelmill.data_prep.v1.data_prep_service_pb2_grpc import DataPrepServiceServicer
from modelmill.inference.v1 import inference_service_pb2 as inference_pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceServicer
from modelmill.moderation.v1 import moderation_service_pb2 as moderation_pb
from modelmill.moderation.v1.moderation_service_pb2_grpc import ModerationServiceServicer
from modelmill.registry.v1.model_events_pb2 import FileState
from modelmill.trainer.v1 import trainer_service_pb2 as trainer_pb
from modelmill.trainer.v1.trainer_service_pb2_grpc import TrainerServiceServicer
from service_kit.errors import DomainError, InvalidInputError, NotFoundError, OverloadedError

MAX_FILE_BYTES = 3 * 1024 * 1024


class FakeInference(InferenceServiceServicer):
    """Says what it is told to say."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and say the usual."""
        self.pieces: list[str] = ["Hello", ", ", "world"]
        self.finish_reason = "stop"
        self.fail_before: DomainError | None = None
        self.fail_after: DomainError | None = None
        self.fail_load: DomainError | None = None
        self.load_gates: dict[str, asyncio.Event] = {}
        self.loading: list[str] = []
        self.endless = False
        self.requests: list[inference_pb.GenerateRequest] = []
        self.loaded: list[str] = []
        self.in_flight = 0
        self.cancelled = 0
        self.deadlines: list[float] = []

    async def Generate(
        self, request: inference_pb.GenerateRequest, context: Any
    ) -> AsyncIterator[inference_pb.GenerateResponse]:
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        if self.fail_before is not None:
            raise self.fail_before
        self.in_flight += 1
        try:
            for piece in self.pieces:
                yield inference_pb.GenerateResponse(text_delta=piece)
            for number in itertools.count() if self.endless else ():
                yield inference_pb.GenerateResponse(text_delta=f"{number} ")
                await asyncio.sleep(0.01)
            if self.fail_after is not None:
                raise self.fail_after
            yield self._end(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    def _end(self, request: inference_pb.GenerateRequest) -> inference_pb.GenerateResponse:
        usage = TokenUsage(prompt_tokens=7, completion_tokens=len(self.pieces))
        end = inference_pb.GenerationEnd(
            finish_reason=self.finish_reason, usage=usage, version_id=request.version_id
        )
        return inference_pb.GenerateResponse(end=end)

    async def LoadModel(
        self, request: inference_pb.LoadModelRequest, context: Any
    ) -> inference_pb.LoadModelResponse:
        if self.fail_load is not None:
            raise self.fail_load
        self.loading.append(request.version_id)
        if request.version_id in self.load_gates:
            await self.load_gates[request.version_id].wait()
        self.loaded.append(request.version_id)
        return inference_pb.LoadModelResponse(engine="fake")


class FakeModeration(ModerationServiceServicer):
    """Judges by a real compiled policy."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.policy = policy
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and answer."""
        self.requests: list[moderation_pb.CheckRequest] = []
        self.fail: DomainError | None = None

    async def Check(
        self, request: moderation_pb.CheckRequest, context: Any
    ) -> moderation_pb.CheckResponse:
        self.requests.append(request)
        if self.fail is not None:
            raise self.fail
        verdict = self.policy.check(request.text, Direction.INPUT)
        matches = [
            moderation_pb.RuleMatch(
                rule_id=match.rule_id,
                category=match.category,
                action=match.action.value,
                start=match.start,
                end=match.end,
            )
            for match in verdict.matches
        ]
        answer = moderation_pb.Verdict(
            action=verdict.action.value,
            matches=matches,
            text=verdict.text,
            policy_digest=verdict.policy_digest,
        )
        return moderation_pb.CheckResponse(verdict=answer)


class FakeDataPrep(DataPrepServiceServicer):
    """Keeps files in memory; datasets are real jobs that nobody works on."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._files: dict[str, tuple[FileState, bytes]] = {}
        self.chunk_sizes: list[int] = []
        self.specs: list[data_prep_pb.DatasetSpec] = []

    async def UploadFile(
        self, requests: AsyncIterator[data_prep_pb.UploadFileRequest], context: Any
    ) -> data_prep_pb.UploadFileResponse:
        header = (await anext(aiter(requests))).header
        content = bytearray()
        async for request in requests:
            self.chunk_sizes.append(len(request.chunk))
            content += request.chunk
            if len(content) > MAX_FILE_BYTES:
                raise OverloadedError(f"the file is larger than {MAX_FILE_BYTES} bytes")
        file = FileState(
            file_id=f"file-{len(self._files)}",
            tenant=header.tenant,
            filename=header.filename,
            purpose=header.purpose,
            size_bytes=len(content),
        )
        file.created_at.GetCurrentTime()
        self._files[file.file_id] = (file, bytes(content))
        return data_prep_pb.UploadFileResponse(file=file)

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
        self.specs.append(request.spec)
        job = await self._queue.submit(
            kind="dataset",
            prefix="job",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
        )
        return data_prep_pb.CreateDatasetResponse(
            job_id=job.job_id, dataset_id=derived_id("ds", job.job_id), sequence=job.sequence
        )

    def _file(self, tenant: str, file_id: str) -> tuple[FileState, bytes]:
        file = self._files.get(file_id)
        if file is None or file[0].tenant != tenant:
            raise NotFoundError(f"no file {file_id!r}")
        return file


class FakeTrainer(TrainerServiceServicer):
    """Accepts real jobs that nobody works on; checks two of the rules."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self.specs: list[trainer_pb.TrainSpec] = []

    async def CreateFineTuningJob(
        self, request: trainer_pb.CreateFineTuningJobRequest, context: Any
    ) -> trainer_pb.CreateFineTuningJobResponse:
        chosen = request.spec.hyper_parameters
        errors = []
        if chosen.learning_rate > 1:
            errors.append("learning_rate must be at most 1")
        if chosen.lora_rank > 256:
            errors.append("lora_rank must be at most 256")
        if errors:
            raise InvalidInputError(errors)
        self.specs.append(request.spec)
        job = await self._queue.submit(
            kind="train",
            prefix="ftjob",
            tenant=request.tenant,
            requested_by=request.requested_by,
            idempotency_key=request.idempotency_key,
            spec=request.spec,
        )
        return trainer_pb.CreateFineTuningJobResponse(job_id=job.job_id, sequence=job.sequence)
