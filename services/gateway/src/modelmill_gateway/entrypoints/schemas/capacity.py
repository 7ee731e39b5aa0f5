"""Capacity of the installation, as operators see it."""

from typing import Literal, Self

from pydantic import Field

from modelmill_gateway.domain.capacity import (
    InferenceReplica,
    LoadedModel,
    QueueCapacity,
    WorkingProcess,
)
from modelmill_gateway.entrypoints.schemas.base import OrNull, ResponseModel, VersionId
from modelmill_gateway.tenants.show_capacity import InstallationCapacity

UNKNOWN = "What is not known, and why; null where all is."


class QueueRoom(ResponseModel):
    """Queue of one kind of jobs, and how long a job that is ordered now would wait."""

    kind: str = Field(examples=["train"])
    waiting: int = Field(description="Jobs that wait for a worker.", examples=[3])
    running: int = Field(description="Jobs in work, over all workers.", examples=[1])
    free_slots: int | None = Field(
        description="Of workers that told; null where none did.", examples=[0]
    )
    expected_wait_seconds: float | None = Field(
        description="By what jobs in work say and what the last ones took; null where unknown.",
        examples=[240.0],
    )
    unknown: OrNull[str] = Field(description=UNKNOWN, examples=[None])

    @classmethod
    def of_queue(cls, queue: QueueCapacity) -> Self:
        """A queue."""
        return cls.of(queue)


class WorkerRoom(ResponseModel):
    """Worker with its slots. Cores, memory and GPUs are null where it takes whatever comes."""

    worker: str = Field(examples=["trainer-gpu-1-4711-9f03ab"])
    kinds: list[str] = Field(examples=[["train", "evaluate"]])
    slots: int = Field(description="Jobs at a time.", examples=[1])
    busy_slots: int = Field(examples=[1])
    free_slots: int = Field(examples=[0])
    short_slots: int = Field(description="More jobs at a time, of short ones.", examples=[1])
    busy_short_slots: int = Field(examples=[0])
    cpus: float | None = Field(description="Processor cores.", examples=[8.0])
    free_cpus: float | None = Field(examples=[4.0])
    memory_bytes: int | None = Field(examples=[32_000_000_000])
    free_memory_bytes: int | None = Field(examples=[20_000_000_000])
    gpus: int | None = Field(examples=[1])
    free_gpus: int | None = Field(examples=[0])


class ProcessRoom(ResponseModel):
    """Process of a service that owns jobs, as it answers at its address."""

    service: str = Field(examples=["trainer"])
    address: str = Field(examples=["trainer:7003"])
    worker: WorkerRoom | None
    artifact_disk_bytes: int | None = Field(
        description="Disk of the artifact store, or of its local copies.",
        examples=[500_000_000_000],
    )
    artifact_disk_free_bytes: int | None = Field(examples=[120_000_000_000])
    unknown: OrNull[str] = Field(description=UNKNOWN, examples=[None])

    @classmethod
    def of_process(cls, process: WorkingProcess) -> Self:
        """A process."""
        worker = process.worker
        room = None if worker is None else WorkerRoom.of(worker, free_slots=worker.free_slots)
        return cls.of(process, worker=room)


class ServedVersionRoom(ResponseModel):
    """Loaded version of a replica, with what its engine has in hand and at most."""

    version_id: VersionId
    engine: str = Field(examples=["openvino"])
    in_flight: int = Field(description="Requests, those that wait included.", examples=[5])
    max_in_flight: int = Field(examples=[64])
    sequences: int = Field(description="Answers in the engine's batch.", examples=[4])
    max_sequences: int = Field(examples=[8])
    waiting: int = Field(description="Requests in the admission queue.", examples=[1])
    max_waiting: int = Field(examples=[32])
    tokens: int = Field(description="Tokens that running requests may come to.", examples=[2048])
    max_tokens: int = Field(examples=[16_384])
    memory_bytes: int = Field(description="Reserved for it.", examples=[700_000_000])

    @classmethod
    def of_model(cls, model: LoadedModel) -> Self:
        """A loaded version."""
        return cls.of(model)


class ReplicaRoom(ResponseModel):
    """Replica of inference at one address: its memory budget and what is loaded."""

    address: str = Field(examples=["inference:7002"])
    memory_limit_bytes: int | None = Field(
        description="Of all versions together.", examples=[16_000_000_000]
    )
    memory_reserved_bytes: int | None = Field(examples=[900_000_000])
    memory_room_bytes: int | None = Field(
        description="For another version, by the limit and by what the machine has free.",
        examples=[9_000_000_000],
    )
    max_versions: int | None = Field(
        description="Null where as many are loaded as fit.", examples=[None]
    )
    models: list[ServedVersionRoom]
    unknown: OrNull[str] = Field(description=UNKNOWN, examples=[None])

    @classmethod
    def of_replica(cls, replica: InferenceReplica) -> Self:
        """A replica."""
        return cls.of(replica, models=[*map(ServedVersionRoom.of_model, replica.models)])


class StreamRoom(ResponseModel):
    """Stream of the message broker. `free_bytes` is null for one without a limit."""

    name: str = Field(examples=["JOBS"])
    used_bytes: int = Field(examples=[12_000_000])
    free_bytes: int | None = Field(examples=[1_061_741_824])


class CapacityReport(ResponseModel):
    """What each part could take and takes now, as one gateway sees it."""

    object: Literal["capacity"] = "capacity"
    queues: list[QueueRoom]
    processes: list[ProcessRoom]
    """Of services that own jobs, the gateway's own among them."""
    replicas: list[ReplicaRoom]
    """Of inference."""
    streams: list[StreamRoom] = Field(description="Empty while the message broker is away.")
    waiting_requests: int = Field(description="Requests in this gateway's admission queue.")
    tokens_in_hand: int = Field(
        description="Tokens that admitted requests may come to.", examples=[12_288]
    )
    tokens_limit: int | None = Field(
        description="Tokens beyond which requests wait; null sets no limit.", examples=[65_536]
    )
    unknown: list[str] = Field(
        description="What cannot be known here, and why.",
        examples=[["free disk of the message broker: it tells that to its administrators alone"]],
    )

    @classmethod
    def of_capacity(cls, found: InstallationCapacity) -> Self:
        """All of it."""
        streams = [
            StreamRoom(
                name=each.name,
                used_bytes=each.used_bytes,
                free_bytes=max(0, each.limit_bytes - each.used_bytes) if each.limit_bytes else None,
            )
            for each in found.streams
        ]
        return cls.of(
            found,
            queues=[*map(QueueRoom.of_queue, found.queues)],
            processes=[*map(ProcessRoom.of_process, found.processes)],
            replicas=[*map(ReplicaRoom.of_replica, found.replicas)],
            streams=streams,
            tokens_limit=found.tokens_limit or None,
            unknown=list(found.unknown),
        )
