"""In which order waiting jobs of several tenants start, whoever asked for how many."""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelmill.jobs.v1.job_pb2 import JOB_PRIORITY_NORMAL
from modelmill_service_kit.machine_size import MachineSize

from modelmill_jobs.sizes import NOTHING


@dataclass(frozen=True)
class WaitingJob:
    """A job that nobody works on and that shall run."""

    job_id: str
    tenant: str
    sequence: int
    """Of the message that asked for it: older ones go first within a tenant and a priority."""
    priority: int = JOB_PRIORITY_NORMAL
    """Higher ones go first within a tenant."""
    needs: MachineSize = NOTHING
    """Of a worker."""


def fair_order(
    waiting: Iterable[WaitingJob], running: Mapping[str, int], served: Mapping[str, int]
) -> Iterator[WaitingJob]:
    """The jobs as they start one after the other, if nothing else happens meanwhile.

    The tenant with the fewest running jobs is next; among equals the one that was served longest
    ago. So a tenant's hundred jobs delay another's one by no more than a job that runs already.
    A priority orders the jobs of one tenant and says nothing between tenants.

    Args:
        running: jobs in work, by tenant.
        served: when a job of the tenant was last begun, in any unit that grows; absent for never.
    """
    queues: dict[str, deque[WaitingJob]] = defaultdict(deque)
    # Not that of the first in its queue: a priority must not move a tenant.
    oldest: dict[str, int] = {}
    for job in sorted(waiting, key=lambda job: (-job.priority, job.sequence)):
        queues[job.tenant].append(job)
        oldest[job.tenant] = min(job.sequence, oldest.get(job.tenant, job.sequence))
    turns = [
        (running.get(tenant, 0), served.get(tenant, 0), oldest[tenant], tenant)
        for tenant, queue in queues.items()
    ]
    heapq.heapify(turns)
    now = max(served.values(), default=0)
    while turns:
        in_work, _, _, tenant = heapq.heappop(turns)
        queue = queues[tenant]
        yield queue.popleft()
        now += 1
        if queue:
            heapq.heappush(turns, (in_work, now, oldest[tenant], tenant))
