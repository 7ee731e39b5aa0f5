"""The control of trees: a gateway that charges a key and its tenant, and none of the makers."""

from dataclasses import replace

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.ledger.account import Account
from modelmill_gateway.main import main
from modelmill_gateway.spending.quotas import Quotas

charged = Quotas.of


def of(self: Quotas, caller: Caller) -> list[Account]:
    """Without the keys that made the caller's."""
    return charged(self, replace(caller, makers=()))


if __name__ == "__main__":
    Quotas.of = of  # type: ignore[method-assign]
    main()
