"""The control of trees: a gateway that charges a key and its tenant, and none of the makers."""

from dataclasses import replace

from gateway.domain.access import Caller
from gateway.domain.ledger.account import Account
from gateway.main import main
from gateway.spending.quotas import Quotas

charged = Quotas.of


def of(self: Quotas, caller: Caller) -> list[Account]:
    """Without the keys that made the caller's."""
    return charged(self, replace(caller, makers=()))


if __name__ == "__main__":
    Quotas.of = of  # type: ignore[method-assign]
    main()
