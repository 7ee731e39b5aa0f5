"""Jobs as the order of a queue is told of them."""

from dataclasses import dataclass
from datetime import datetime

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JOB_STATUS_RUNNING
from modelmill_job_index.queue_order import QueueOrder
from modelmill_jobs.waiting import WaitingJob
from modelmill_service_kit.machine_size import MachineSize

NOON = datetime(2026, 11, 25, 12)


def waiting_jobs(asked: list[tuple[str, int]]) -> list[WaitingJob]:
    return [
        WaitingJob(f"job-{at}", tenant, at, priority)
        for at, (tenant, priority) in enumerate(asked, 1)
    ]


@dataclass
class Seen:
    """A job as the queue is told of it."""

    tenant: str
    waits: WaitingJob | None = None
    status: int = JOB_STATUS_QUEUED
    claimed_at: datetime | None = None
    claimed_sequence: int = 0
    seconds: float = 0.0
    kind: str = "train"
    worker_size: MachineSize | None = None
    ends: datetime | None = None
    """When it said that it would."""

    def told_left(self, now: datetime) -> float | None:
        return (self.ends - now).total_seconds() if self.ends and self.ends > now else None

    def waiting(self, job_id: str) -> WaitingJob | None:
        return self.waits

    def work_seconds(self) -> float:
        return self.seconds


def queue_of(waiting: list[WaitingJob], running: dict[str, int], served: dict[str, int]):
    queue = QueueOrder(now=lambda: NOON)
    for tenant, sequence in served.items():
        queue.serve("train", tenant, sequence)
    for job in waiting:
        queue.see(job.job_id, Seen(job.tenant, job))
    for tenant, number in running.items():
        for at in range(number):
            queue.see(f"in-work-{tenant}-{at}", Seen(tenant, status=JOB_STATUS_RUNNING))
    return queue
