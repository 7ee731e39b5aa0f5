"""Use case: a model version and the builds made from it are taken out of use."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady, ModelRetired
from modelmill_registry.aliases import split_versions
from modelmill_registry.catalogue import MODELS
from modelmill_service_kit.errors import PreconditionError
from modelmill_service_kit.nearest import no_such

ADAPTER = "adapter"
TRAINED_FORMS = (ADAPTER, "safetensors")
"""What training makes of a version is a model of its own; any other form is a build of it."""


class Models(Protocol):
    async def catch_up(self) -> None:
        """Know what was announced and retired before now. Raises UnavailableError."""
        ...

    def get(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError, also for a retired one."""
        ...

    def made_from(self, version_id: str) -> list[ModelReady]:
        """Versions of all tenants that name it as parent or base and are not retired."""
        ...

    async def retire(self, retired: ModelRetired) -> int:
        """Sequence of the announcement. Raises UnavailableError."""
        ...


class Aliases(Protocol):
    async def naming(self, version_ids: Collection[str]) -> list[AliasState]:
        """Aliases of all tenants that stand for one of them now. Raises UnavailableError."""
        ...


class Jobs(Protocol):
    """See `modelmill_job_index.unfinished.UnfinishedJobs`."""

    async def refuse_use(self, tenant: str, what: str, ids: Collection[str]) -> None:
        """Raises PreconditionError, which names the jobs, and UnavailableError."""
        ...


@dataclass(frozen=True)
class Retirement:
    version_ids: Sequence[str]
    """The asked one first, then its builds."""
    sequence: int
    """MODELS sequence of the last announcement."""


class RetireModel:
    """Nothing is deleted: artifacts stay, so that what was made from them can be accounted for.

    A job that is accepted between the look at the jobs and the announcement fails, and says so.
    """

    def __init__(self, models: Models, aliases: Aliases, jobs: Jobs) -> None:
        self._models = models
        self._aliases = aliases
        self._jobs = jobs

    async def __call__(self, *, tenant: str, version_id: str, requested_by: str) -> Retirement:
        """Announce that the version and its builds are retired.

        Raises:
            NotFoundError: Unknown, retired, or not the tenant's own.
            PreconditionError: An alias names one of them, an adapter in use needs one, or a job
                that has not ended does.
            UnavailableError: The bus does not answer; ask again.
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
        # The asked one last: as long as it is there, a repeat finds what is left to do.
        for each in reversed(going):
            reason = f"retired by {requested_by}"
            if each is not version:
                reason = f"made from {version_id}, {reason}"
            sequence = await self._models.retire(
                ModelRetired(version_id=each.version_id, tenant=each.tenant, reason=reason)
            )
        return Retirement([each.version_id for each in going], sequence)

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
