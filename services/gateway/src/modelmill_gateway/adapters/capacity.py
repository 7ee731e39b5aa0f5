"""Capacity of services, asked of one replica at each address."""

import grpc
from modelmill.inference.v1 import inference_service_pb2 as inference_pb
from modelmill.inference.v1.inference_service_pb2_grpc import InferenceServiceStub
from modelmill.jobs.v1.job_service_pb2 import (
    GetWorkerCapacityRequest,
    GetWorkerCapacityResponse,
    WorkerLoad,
)
from modelmill.jobs.v1.job_service_pb2_grpc import JobServiceStub
from modelmill_jobs.process_capacity import ProcessCapacity

from modelmill_gateway.domain.capacity import (
    InferenceReplica,
    LoadedModel,
    WorkerSlots,
    WorkingProcess,
)

ASK_SECONDS = 2.0
AWAY = "it does not answer"
OLDER = "its release does not tell of its capacity"
NO_WORKER = "it runs no worker (role serve); workers without an address are seen by their jobs"
NO_DISK = "the disk of its artifacts cannot be read"
THIS_PROCESS = "this process"


class GrpcWorkers:
    """Worker of the process that answers at the address of a service that owns jobs."""

    def __init__(self, channel: grpc.aio.Channel, service: str, address: str) -> None:
        self._stub = JobServiceStub(channel)
        self._service = service
        self._address = address

    async def __call__(self) -> WorkingProcess:
        """How it is; nothing raises."""
        try:
            told = await self._stub.GetWorkerCapacity(
                GetWorkerCapacityRequest(), timeout=ASK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            return WorkingProcess(self._service, self._address, unknown=why_silent(error))
        return process_of(self._service, self._address, told)


class OwnWorker:
    """Worker of this gateway's own process."""

    def __init__(self, capacity: ProcessCapacity) -> None:
        self._capacity = capacity

    async def __call__(self) -> WorkingProcess:
        """How it is."""
        return process_of("gateway", THIS_PROCESS, await self._capacity())


class GrpcReplica:
    """Loaded versions and memory of the replica of inference at one address."""

    def __init__(self, channel: grpc.aio.Channel, address: str) -> None:
        self._stub = InferenceServiceStub(channel)
        self._address = address

    async def __call__(self) -> InferenceReplica:
        """How it is; nothing raises."""
        try:
            told = await self._stub.ListServing(
                inference_pb.ListServingRequest(), timeout=ASK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            return InferenceReplica(self._address, unknown=why_silent(error))
        if not told.HasField("memory"):
            return InferenceReplica(self._address, unknown=OLDER)
        memory = told.memory
        return InferenceReplica(
            self._address,
            memory_limit_bytes=memory.limit_bytes,
            memory_reserved_bytes=memory.reserved_bytes,
            memory_room_bytes=memory.room_bytes,
            max_versions=memory.max_versions or None,
            models=[_model(each) for each in told.models],
        )


def why_silent(error: grpc.aio.AioRpcError) -> str:
    """Why a service told nothing."""
    return OLDER if error.code() is grpc.StatusCode.UNIMPLEMENTED else AWAY


def process_of(service: str, address: str, told: GetWorkerCapacityResponse) -> WorkingProcess:
    """What a process tells of itself."""
    has_worker, has_disk = told.HasField("worker"), told.HasField("artifact_disk")
    lacking = [*([] if has_worker else [NO_WORKER]), *([] if has_disk else [NO_DISK])]
    return WorkingProcess(
        service,
        address,
        worker=_slots(told.worker) if has_worker else None,
        artifact_disk_bytes=told.artifact_disk.total_bytes if has_disk else None,
        artifact_disk_free_bytes=told.artifact_disk.free_bytes if has_disk else None,
        unknown="; ".join(lacking),
    )


def _slots(load: WorkerLoad) -> WorkerSlots:
    size, free = load.size, load.free
    is_sized = load.HasField("size")
    return WorkerSlots(
        worker=load.worker,
        kinds=list(load.kinds),
        slots=load.slots,
        busy_slots=load.busy_slots,
        short_slots=load.short_slots,
        busy_short_slots=load.busy_short_slots,
        cpus=size.cpus if is_sized else None,
        free_cpus=free.cpus if is_sized else None,
        memory_bytes=size.memory_bytes if is_sized else None,
        free_memory_bytes=free.memory_bytes if is_sized else None,
        gpus=size.gpus if is_sized else None,
        free_gpus=free.gpus if is_sized else None,
    )


def _model(served: inference_pb.ServedModel) -> LoadedModel:
    return LoadedModel(
        version_id=served.version_id,
        engine=served.engine,
        in_flight=served.in_flight,
        max_in_flight=served.max_in_flight,
        sequences=served.sequences,
        max_sequences=served.max_sequences,
        waiting=served.waiting,
        max_waiting=served.max_waiting,
        tokens=served.tokens,
        max_tokens=served.max_tokens,
        memory_bytes=served.memory_bytes,
    )
