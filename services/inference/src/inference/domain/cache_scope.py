"""Who may find what was computed of a prompt: its tenant, as a number that engines can take."""

import hashlib

SCOPES = 2**31
"""Scopes are below it; 0 is nobody's."""


def scope_of(tenant: str) -> int:
    """For a tenant the same in every process."""
    digest = hashlib.sha256(tenant.encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % (SCOPES - 1)
