"""Job kinds, the service that owns each, and ids of jobs and of what they make.

Ids are the same for the same request, so that a repeat finds the first. An id of what a job makes
is derived from the job's.
"""

import uuid

NAMESPACE = uuid.UUID("6d6f6465-6c6d-5c69-8c6c-6a6f62730001")
"""Ours alone and never to change: another value would give every old key a second job."""


def job_id(prefix: str, *, tenant: str, kind: str, idempotency_key: str) -> str:
    """The id of the job that this key stands for; a new one when the key is empty."""
    if not idempotency_key:
        return f"{prefix}-{uuid.uuid4().hex}"
    return derived_id(prefix, tenant, kind, idempotency_key)


def derived_id(prefix: str, *parts: str) -> str:
    """`<prefix>-<uuid hex>` that depends on nothing but `parts`, for example a job and a form."""
    return f"{prefix}-{uuid.uuid5(NAMESPACE, chr(0).join(parts)).hex}"


DATASET = "dataset"
TRAIN = "train"
EVALUATE = "evaluate"
OPTIMIZE = "optimize"
BATCH = "batch"
OWNER_OF = {
    DATASET: "data-prep",
    TRAIN: "trainer",
    EVALUATE: "trainer",
    OPTIMIZE: "optimizer-builder",
    BATCH: "gateway",
}
"""The service that takes and does jobs of a kind; kinds are of a-z, 0-9 and `-`, for subjects."""
KINDS = tuple(OWNER_OF)


def kinds_of(service: str) -> list[str]:
    """The kinds that a service owns."""
    return [kind for kind, owner in OWNER_OF.items() if owner == service]


def work_consumer(service: str, kind: str) -> str:
    """Name of the durable consumer that the workers of a service share."""
    return f"{service}-work-{kind}"


def prefix_of(kind: str) -> str:
    """What the ids of a kind's jobs begin with."""
    return {TRAIN: "ftjob", BATCH: "batch"}.get(kind, "job")


def dataset_id_of(job_id: str) -> str:
    """The id of the dataset that a job of kind dataset makes."""
    return derived_id("ds", job_id)


def version_id_of(job_id: str, form: str) -> str:
    """The id of the model version of this form that a job of kind train or optimize makes."""
    return derived_id("mv", job_id, form)
