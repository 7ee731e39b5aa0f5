"""Subjects of who changed what."""

from modelmill_jobs.subjects import token


def change_recorded(tenant: str) -> str:
    """Subject of what a tenant's people changed."""
    return f"change.recorded.{token(tenant, 'tenant')}"
