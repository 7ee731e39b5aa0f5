"""Take out of use what is listed under a name: an alias, or a version with its builds."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_bus.read_model import FreshLook, until_seen
from modelmill_registry.catalogue import MODELS, ModelCatalogue
from modelmill_service_kit.errors import NotFoundError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean, no_such

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.models import is_build
from modelmill_gateway.ports import Trainer
from modelmill_gateway.routing.move_alias import DeleteAlias


class DeleteModel:
    """Takes any name under which `/v1/models` lists something, and deletes that entry.

    Of an alias this is the alias: what it means stays, for it may be asked for by other names.
    """

    def __init__(
        self,
        retiring: Trainer,
        models: ModelCatalogue,
        delete_alias: DeleteAlias,
        look: FreshLook,
    ) -> None:
        self._retiring = retiring
        self._models = models
        self.delete_alias = delete_alias
        """Of an alias by its name alone, where it is known to be one."""
        self._look = look

    async def __call__(self, name: str, caller: Caller) -> Sequence[str]:
        """Delete it; gives every version id that went, the asked one first; none for an alias.

        Args:
            name: an alias, a version id, or a model's name that one version bears.

        Raises:
            NotFoundError: unknown, deleted, or not the caller's own.
            PreconditionError: it is in use, or several versions bear the name; the message says
                what to do.
            StaleWriteError: somebody moved the alias since this began.
            UnavailableError: the trainer or the bus does not answer.
        """
        # What this replica has not heard of yet, an alias of that name, would go before the model.
        with suppress(NotFoundError):
            await self._look(lambda: self._require(name, caller))
        if self.delete_alias.owns(name, caller):
            await self.delete_alias(name, caller)
            return ()
        version_id = self._version_id(name, caller.tenant)
        try:
            retired = await self._retiring.retire_model(
                tenant=caller.tenant, version_id=version_id, requested_by=caller.subject
            )
        except NotFoundError as error:
            hint = did_you_mean(name, self._names(caller))
            raise NotFoundError(f"{error.message}.{hint}" if hint else error.message) from error
        await until_seen(self._models, retired.sequence)
        return retired.version_ids

    def _own(self, tenant: str) -> dict[str, ModelReady]:
        versions = self._models.list(tenant)
        return {each.version_id: each for each in versions if each.tenant == tenant}

    def _require(self, name: str, caller: Caller) -> None:
        if not self.delete_alias.owns(name, caller) and name not in self._own(caller.tenant):
            raise no_such("alias and no version", name, MODELS)

    def _names(self, caller: Caller) -> Iterator[str]:
        """What the tenant may delete is called so."""
        yield from self.delete_alias.names(caller)
        for version in self._own(caller.tenant).values():
            yield from (version.version_id, version.name)

    def _version_id(self, name: str, tenant: str) -> str:
        """Of the version that bears the name; what is not known here is taken for an id."""
        own = self._own(tenant)
        if name in own:
            return name
        named = [
            version.version_id
            for version in own.values()
            # A build goes with its source.
            if version.name == name and not (is_build(version) and version.parent_version_id in own)
        ]
        if len(named) > 1:
            raise PreconditionError(
                f"{len(named)} versions are called {name[:80]!r}: delete each by its id,"
                f" {', '.join(named)}"
            )
        return named[0] if named else name
