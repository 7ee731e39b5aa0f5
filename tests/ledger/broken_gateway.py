"""The control: a gateway that gives a lease back on expiry although its holder may return."""

from dataclasses import replace

from modelmill_gateway.domain.ledger.budget import Budget
from modelmill_gateway.main import main


def refunding(budget: Budget, now_ms: int, grace_ms: int) -> Budget:
    """Without the leases of those who did not tell for so long, as if nothing of them was used."""
    kept = tuple(each for each in budget.leases if now_ms - each.expires_ms <= grace_ms)
    return replace(budget, leases=kept)


if __name__ == "__main__":
    Budget.closing = refunding  # type: ignore[method-assign]
    main()
