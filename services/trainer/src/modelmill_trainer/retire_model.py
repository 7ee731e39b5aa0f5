"""Use case: retire a model version and all builds made from it."""

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
"""Forms made by training, which are models of their own; any other form is a build."""


class Models(Protocol):
    async def catch_up(self) -> None:
        """Read all announcements made before this call. Raises UnavailableError."""
        ...

    def get(self, tenant: str, version_id: str) -> ModelReady:
        """Raises NotFoundError, also for a retired version."""
        ...

    def made_from(self, version_id: str) -> list[ModelReady]:
        """Versions of all tenants that name it as parent or base and are not retired."""
        ...

    async def retire(self, retired: ModelRetired) -> int:
        """Publish; returns the stream sequence. Raises UnavailableError."""
        ...


class Aliases(Protocol):
    async def naming(self, version_ids: Collection[str]) -> list[AliasState]:
        """Aliases of all tenants that resolve to one of the versions. Raises UnavailableError."""
        ...


class Jobs(Protocol):
    """See `modelmill_job_index.unfinished.UnfinishedJobs`."""

    async def refuse_use(self, tenant: str, what: str, ids: Collection[str]) -> None:
        """Raises PreconditionError that names the jobs, and UnavailableError."""
        ...


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

    def __init__(self, models: Models, aliases: Aliases, jobs: Jobs) -> None:
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
