"""Earlier jobs of a tenant, and workers, by which jobs are estimated before they are ordered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, Resources
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_job_index.job_estimates import COMPARED_JOBS
from modelmill_jobs.sizes import misfit, size_of
from modelmill_service_kit.machine_size import MachineSize

LOOKED_AT = 100
"""Newest jobs of a kind that succeeded."""


@dataclass(frozen=True)
class WorkerFit:
    """The largest worker for a job, and whether it is large enough."""

    largest: MachineSize
    """That was seen; before any was, what the owner of the kind says."""
    waiting_reason: str
    """Why the job would wait for a larger worker; empty where one is large enough."""


def newest_like(
    jobs: JobIndex, tenant: str, kind: str, is_like: Callable[[JobRecord], bool]
) -> list[JobRecord]:
    """The newest jobs of a kind that succeeded and are like one that is asked about."""
    done = islice(jobs.list(tenant, kind, {JOB_STATUS_SUCCEEDED}), LOOKED_AT)
    return [*islice(filter(is_like, done), COMPARED_JOBS)]


def worker_fit(jobs: JobIndex, kind: str, needs: Resources, known: Resources) -> WorkerFit:
    """How a job of that kind would fit.

    Args:
        known: A worker, as the owner of the kind knows it.
    """
    workers = jobs.worker_sizes(kind) or {size_of(known)}
    largest = max(workers, key=lambda each: each.memory_bytes)
    return WorkerFit(largest, misfit(size_of(needs), workers))


def summary_of(record: JobRecord) -> dict[str, Any]:
    """Figures of a job that succeeded, by name."""
    return MessageToDict(record.state.result.summary)


def has_fields_of(record: JobRecord, spec: Message, names: Sequence[str]) -> bool:
    """Whether a job was ordered with the same values of these fields as `spec` has."""
    wanted = MessageToDict(spec, preserving_proto_field_name=True)
    had = MessageToDict(record.requested.spec)
    return all(wanted.get(name) == had.get(name) for name in names)
