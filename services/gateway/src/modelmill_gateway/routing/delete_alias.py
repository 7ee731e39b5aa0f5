"""Take a name away from what it means; what it meant stays as it is."""

from collections.abc import Iterator
from typing import Protocol

from modelmill_service_kit.nearest import no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.routing.find_model import Aliases, FreshLook
from modelmill_gateway.routing.move_alias import AliasBook, swapped


class DeletableAliases(AliasBook, Aliases, Protocol):
    """Aliases, found and removed."""


class DeleteAlias:
    """Removes the tenant's own alias; a shared one of that name is seen again behind it."""

    def __init__(self, aliases: DeletableAliases, look: FreshLook) -> None:
        self._aliases = aliases
        self._look = look

    def names(self, caller: Caller) -> Iterator[str]:
        """Aliases of the caller's tenant, as far as is known here."""
        mine = (each for each in self._aliases.list(caller.tenant) if each.tenant == caller.tenant)
        return (each.name for each in mine)

    def owns(self, name: str, caller: Caller) -> bool:
        """Whether the caller's tenant has an alias of that name, as far as is known here."""
        alias = self._aliases.get(caller.tenant, name)
        return alias is not None and alias.tenant == caller.tenant

    async def __call__(self, name: str, caller: Caller) -> None:
        """Return once nobody is answered by that name here any more.

        Raises:
            NotFoundError: the tenant has no alias of its own of that name.
            StaleWriteError: somebody moved it since this began.
            UnavailableError: the bus does not answer.
        """
        await self._look(lambda: self._require(name, caller))
        seen = self._aliases.sequence(caller.tenant, name)
        await swapped(self._aliases, name, "", caller, seen)

    def _require(self, name: str, caller: Caller) -> None:
        if not self.owns(name, caller):
            raise no_such("alias of your own", name, "/v1/aliases", self.names(caller))
