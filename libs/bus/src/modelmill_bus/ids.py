"""Ids that are the same for the same request, so that a repeat finds the first."""

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
