"""Find the price of what is asked for: by the model's own name, else by the name it is asked by."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill_service_kit.errors import NotFoundError

from modelmill_gateway.domain.ledger.amounts import Price, Prices
from modelmill_gateway.routing.find_model import FindModel


@dataclass(frozen=True)
class PriceOfModel:
    """The model's own name comes first: a tenant's alias for a dear model makes it no cheaper."""

    prices: Prices
    find_model: FindModel

    def __call__(self, tenant: str, name: str) -> Price:
        """The price; that of all others for a name without a model."""
        if not self.prices.are_any:
            return Price()
        return self.prices.of(*self._names(tenant, name))

    def _names(self, tenant: str, name: str) -> Sequence[str]:
        try:
            return (self.find_model.known_version(tenant, name).name, name)
        except NotFoundError:
            return (name,)
