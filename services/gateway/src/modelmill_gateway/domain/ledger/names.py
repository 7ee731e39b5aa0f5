"""What budgets are called."""

import uuid

NAMES_OF_TENANTS = uuid.UUID("6a1d3a0e-9a1f-4b52-8f5e-0d6a7c1f2b43")


def tenant_budget(tenant: str) -> str:
    """Id of the budget of a whole tenant; of a key it is the key's own id."""
    return f"tenant-{uuid.uuid5(NAMES_OF_TENANTS, tenant).hex}"
