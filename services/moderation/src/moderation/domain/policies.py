"""Which policy judges the texts of which tenant."""

from guard.bundle import CompiledPolicy
from service_kit.errors import PreconditionError

SHARED_TENANT = "shared"
"""Owner of the policy that binds every tenant without one of its own."""


class PoliciesInForce:
    """The compiled policy of each tenant; replaced whole, so each verdict is one bundle's."""

    def __init__(self) -> None:
        self._policies: dict[str, CompiledPolicy | None] = {}

    def put(self, tenant: str, policy: CompiledPolicy | None) -> None:
        """Let `policy` judge from now on; None closes the tenant.

        A tenant whose newest bundle is not valid is closed and does not fall back: an older policy,
        or the shared one, may be laxer than what was meant.
        """
        self._policies[tenant] = policy

    def follow_shared(self, tenant: str) -> None:
        """Let the shared policy judge the tenant's texts from now on."""
        self._policies.pop(tenant, None)

    def of(self, tenant: str) -> CompiledPolicy:
        """The tenant's own policy, or the shared one.

        Raises:
            PreconditionError: there is none, or its bundle is not valid; nothing may pass.
        """
        policy = self._policies.get(tenant, self._policies.get(SHARED_TENANT))
        if policy is None:
            raise PreconditionError("no valid policy bundle is in force, so nothing may pass")
        return policy
