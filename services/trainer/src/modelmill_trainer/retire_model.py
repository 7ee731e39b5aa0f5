"""Use case: retire a model version and all builds made from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import ModelReady, ModelRetired
from modelmill_bus.bus import Bus
from modelmill_bus.read_model import until_seen
from modelmill_bus.subjects import MODEL_RETIRED
from modelmill_job_index.unfinished import UnfinishedJobs
from modelmill_registry.aliases import split_versions
from modelmill_registry.catalogue import MODELS, ModelCatalogue
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.nearest import no_such

from modelmill_trainer.stored_records import AliasReader

ADAPTER = "adapter"
TRAINED_FORMS = (ADAPTER, "safetensors")
"""Forms made by training, which are models of their own; any other form is a build."""


@dataclass(frozen=True)
class Retirement:
    version_ids: Sequence[str]
    """The requested version first, then its builds."""
    sequence: int
    """Sequence of the last announcement in stream MODELS."""


class RetireModel:
    """Announces retirements; artifacts stay, so that provenance remains complete.

    A job accepted between the check and the announcement fails with the reason.
    """

    def __init__(
        self, bus: Bus, models: ModelCatalogue, aliases: AliasReader, jobs: UnfinishedJobs
    ) -> None:
        self._bus = bus
        self._models = models
        self._aliases = aliases
        self._jobs = jobs

    async def __call__(self, *, tenant: str, version_id: str, requested_by: str) -> Retirement:
        """Retire the version and its builds.

        Raises:
            NotFoundError: The version is unknown, retired, or another tenant's.
            PreconditionError: An alias, an adapter or an unfinished job needs one of them.
            UnavailableError: The bus does not answer. Retry.
        """
        await self._models.catch_up()
        version = self._models.get(tenant, version_id)
        if version.tenant != tenant:
            raise no_such("model of your own", version_id, MODELS)
        going = self._with_builds(version)
        self._refuse_adapters(tenant, going)
        ids = [each.version_id for each in going]
        await self._refuse_aliases(tenant, ids)
        await self._jobs.refuse_use(tenant, f"model {version_id!r}", ids)
        sequence = 0
        # The requested one last: while it exists, a retry finds what is left to do.
        for each in reversed(going):
            reason = f"retired by {requested_by}"
            if each is not version:
                reason = f"made from {version_id}, {reason}"
            retired = ModelRetired(version_id=each.version_id, tenant=each.tenant, reason=reason)
            sequence = await self._bus.publish(
                MODEL_RETIRED, retired, msg_id=f"{each.version_id}-retired"
            )
            await until_seen(self._models, sequence)
        return Retirement(ids, sequence)

    async def retire_all(self, tenant: str) -> None:
        """Announce the end of every version of a deleted tenant, so that whoever holds one lets go.

        Raises:
            UnavailableError: The bus does not answer. Retry.
        """
        await self._models.catch_up()
        for each in self._models.list(tenant):
            if each.tenant == tenant:
                retired = ModelRetired(
                    version_id=each.version_id, tenant=tenant, reason="its tenant was deleted"
                )
                await self._bus.publish(MODEL_RETIRED, retired, msg_id=f"{each.version_id}-retired")

    def _with_builds(self, version: ModelReady) -> list[ModelReady]:
        going = [version]
        for source in going:
            going += [
                made
                for made in self._models.made_from(source.version_id)
                if made.parent_version_id == source.version_id and made.form not in TRAINED_FORMS
            ]
        return going

    def _refuse_adapters(self, tenant: str, going: Sequence[ModelReady]) -> None:
        ids = {each.version_id for each in going}
        for source in going:
            for made in self._models.made_from(source.version_id):
                if made.form == ADAPTER and made.version_id not in ids:
                    mine = f"adapter {made.version_id} ({made.name})"
                    named = mine if made.tenant == tenant else "an adapter of another tenant"
                    raise PreconditionError(
                        f"{named} needs {source.version_id} as its base. Retire the adapter first"
                    )

    async def _refuse_aliases(self, tenant: str, version_ids: Sequence[str]) -> None:
        for alias in await self._aliases.naming(version_ids):
            mine = alias.tenant == tenant
            named = f"alias {alias.name!r}" if mine else "an alias of another tenant"
            versions = (alias.version_id, *split_versions(alias))
            version_id = next(each for each in versions if each in version_ids)
            raise PreconditionError(f"{named} names {version_id}. Move or remove the alias first")
