"""Find the model version behind a name, and the one of its forms that does the work.

A name that is not known here is looked up once more when everything that is stored has been read:
whoever was told by another replica that a model is ready may ask for it here at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_CANCELLED,
    JOB_STATUS_FAILED,
    JOB_STATUS_SUCCEEDED,
    JobState,
)
from modelmill.registry.v1.model_events_pb2 import AliasState, ModelReady
from modelmill_bus.read_model import FreshLook
from modelmill_job_index.history import STATE
from modelmill_job_index.index import JobIndex, JobRecord
from modelmill_registry.aliases import AliasBook
from modelmill_registry.catalogue import MODELS, ModelCatalogue
from modelmill_registry.default_build import default_build_of, is_held_back
from modelmill_service_kit.errors import InvalidInputError, NotFoundError
from modelmill_service_kit.nearest import did_you_mean, where_listed

from modelmill_gateway.domain.errors import (
    ModelNotFoundError,
    ModelUndecidedError,
    NoDefaultModelError,
)
from modelmill_gateway.domain.models import AskedModel, Split, split_of

ENDED = (JOB_STATUS_SUCCEEDED, JOB_STATUS_FAILED, JOB_STATUS_CANCELLED)


class DefaultBuilds:
    """Which form a tuned version is served in: decided once, when its default build ends.

    The build where it passed its checks and is not held back, otherwise the source.
    What ends later, such as a build that is ordered or a failed one that is resumed, changes
    nothing. It is asked for with each request for a name, so what was decided is remembered.
    """

    def __init__(self, catalogue: ModelCatalogue, jobs: JobIndex) -> None:
        self._catalogue = catalogue
        self._jobs = jobs
        self._stands: dict[str, bool] = {}
        """Whether the build of a version is served; only of those that are decided."""

    def served_form(self, version: ModelReady) -> ModelReady | None:
        """The version itself or its default build; None while that is undecided."""
        order = default_build_of(version)
        if order is None:
            return version
        build = self._build(version.tenant, order.version_id)
        stands = self._stands.get(version.version_id)
        if stands is None:
            stands = self._decide(version, order.job_id, build)
        if stands is None:
            return None
        # A build that was deleted leaves its source.
        return build if stands and build is not None else version

    def job_of(self, version: ModelReady) -> str:
        """The job whose end is waited for."""
        order = default_build_of(version)
        return "" if order is None else order.job_id

    def _decide(self, version: ModelReady, job_id: str, build: ModelReady | None) -> bool | None:
        try:
            ended = _first_end(self._jobs.get(version.tenant, job_id))
        except NotFoundError:
            # Not ordered yet, or forgotten long ago: then only the build can tell.
            ended = None if build is None else JOB_STATUS_SUCCEEDED
        if ended is None:
            return None
        stands = ended == JOB_STATUS_SUCCEEDED and build is not None and not is_held_back(build)
        self._stands[version.version_id] = stands
        return stands

    def _build(self, tenant: str, version_id: str) -> ModelReady | None:
        try:
            return self._catalogue.get(tenant, version_id)
        except NotFoundError:
            return None


def _first_end(record: JobRecord) -> int | None:
    """How a job ended first; None when it has not."""
    states = (event.body for event in record.events if event.type == STATE)
    return next(
        (it.status for it in states if isinstance(it, JobState) and it.status in ENDED), None
    )


def alias_split(alias: AliasState) -> Split | None:
    """Its variants; None when it has none."""
    return split_of(MessageToDict(alias.options)) if alias.options.fields else None


SERVED_PREFIX = "openvino"
"""Begins the names of forms that every inference runs; no other build serves a name unasked."""
WEIGHTS_FORM = "safetensors"
ADAPTER_FORM = "adapter"


@dataclass(frozen=True)
class TrainingStart:
    """Versions that a training run starts from."""

    base: ModelReady
    adapter: ModelReady | None = None
    """A LoRA adapter of the base, which the run goes on from."""

    @property
    def version(self) -> ModelReady:
        """What was named, or what a build that was named is made from."""
        return self.adapter or self.base


class FindModel:
    """Names are looked up as alias of the tenant, shared alias, version id, name; in this order.

    A name belongs to the first version that bears it, the tenant's own before a shared one; it is
    served in the form that was decided for that version. Nothing but an alias moves it.

    Args:
        default_model: a name that nobody needs to give: where nothing bears it, it means the only
            model that is served.
    """

    def __init__(
        self,
        aliases: AliasBook,
        catalogue: ModelCatalogue,
        decides: DefaultBuilds,
        look: FreshLook,
        default_model: str,
    ) -> None:
        self._default_model = default_model
        self._aliases = aliases
        self._catalogue = catalogue
        self._decides = decides
        self._look = look
        self._splits: dict[tuple[str, str], tuple[AliasState, Split | None]] = {}

    def alias(self, tenant: str, name: str) -> AliasState | None:
        """The alias of that name, the tenant's own before the shared one."""
        return self._aliases.get(tenant, name)

    async def version(self, tenant: str, name: str) -> ModelReady:
        """The version that the name belongs to.

        Raises:
            ModelNotFoundError: there is none that the tenant may see.
        """
        return await self._look(lambda: self.known_version(tenant, name))

    def known_version(self, tenant: str, name: str) -> ModelReady:
        """As `version`, by what is known here."""
        return self._candidates(tenant, name)[0]

    async def asked(self, tenant: str, name: str, key: str | None = None) -> AskedModel:
        """What inference is asked for, which has the last word on what it can run.

        An alias goes on as it is, but for one with variants, of which `key` has one, always the
        same; without a key it goes on, too, and means the first. A version id means that very
        version, a name the form that was decided for it.

        Raises:
            ModelNotFoundError: there is none that the tenant may see.
            ModelUndecidedError: it is not decided yet which form the name means.
        """
        return await self._look(lambda: self._asked(tenant, name, key))

    def _asked(self, tenant: str, name: str, key: str | None) -> AskedModel:
        name = self._meant(tenant, name)
        alias = self._aliases.get(tenant, name)
        if alias is not None:
            split = self._split(alias)
            if split is None:
                return AskedModel(name, alias.version_id)
            if key is None:
                return AskedModel(name, alias.version_id, variant=split.variants[0].name)
            place = (alias.tenant, name, key)
            variant = split.pick(*place)
            return AskedModel(
                variant.version_id,
                variant.version_id,
                variant=variant.name,
                fallbacks=split.fallback,
                shadow=split.shadow,
                assignment=split.assignment(variant, *place),
                is_logged=split.is_logged,
            )
        version = self._candidates(tenant, name)[0]
        served = self._decides.served_form(version)
        if version.version_id == name:
            return AskedModel(name, self._stand_in(version, served, tenant).version_id)
        if served is None:
            raise ModelUndecidedError(name, version.version_id, self._decides.job_of(version))
        stand_in = self._stand_in(version, served, tenant)
        return AskedModel(served.version_id, stand_in.version_id)

    async def servable(self, tenant: str, name: str) -> ModelReady:
        """What an alias of that version names from now on: its newest build that may serve it.

        Without any it is the version itself: some engines run it as it is.

        Raises:
            ModelNotFoundError: there is none that the tenant may see.
        """
        return await self._look(lambda: self._servable(tenant, name))

    def _servable(self, tenant: str, name: str) -> ModelReady:
        version = self._candidates(tenant, name)[0]
        builds = [version] if is_build(version) else self._builds(version, tenant)
        return builds[0] if builds else version

    async def trainable(self, tenant: str, name: str) -> TrainingStart:
        """What training of `name` begins from; a build stands for what it was made from.

        Raises:
            ModelNotFoundError: no such model, or what it was made from is gone.
            InvalidInputError: its form cannot be trained.
        """
        return await self._look(lambda: self._trainable(tenant, name))

    def _trainable(self, tenant: str, name: str) -> TrainingStart:
        found = self._buildable(tenant, name)
        if found.form == WEIGHTS_FORM:
            return TrainingStart(found)
        if found.form != ADAPTER_FORM:
            raise InvalidInputError(
                f"model: {name!r} is of form {found.form} and cannot be trained. "
                f"Name its base {found.base_version_id}"
            )
        try:
            return TrainingStart(self._catalogue.get(tenant, found.parent_version_id), found)
        except NotFoundError as error:
            raise ModelNotFoundError(
                f"the base model of the adapter {name[:80]!r} is gone. {where_listed(MODELS)}"
            ) from error

    async def buildable(self, tenant: str, name: str) -> ModelReady:
        """The version that a build of `name` is made from; a build stands for its source.

        Raises:
            ModelNotFoundError: no such model, or the source of the build is gone.
        """
        return await self._look(lambda: self._buildable(tenant, name))

    def _buildable(self, tenant: str, name: str) -> ModelReady:
        found = self._candidates(tenant, name)
        for version in found:
            if not is_build(version):
                return version
        try:
            return self._catalogue.get(tenant, found[0].parent_version_id)
        except NotFoundError as error:
            raise ModelNotFoundError(
                f"what the model {name[:80]!r} was built from is gone. {where_listed(MODELS)}"
            ) from error

    def _split(self, alias: AliasState) -> Split | None:
        """As the alias says, read once for each of its states."""
        if not alias.options.fields:
            return None
        place = (alias.tenant, alias.name)
        known = self._splits.get(place)
        if known is None or known[0] is not alias:
            known = self._splits[place] = (alias, alias_split(alias))
        return known[1]

    def _builds(self, version: ModelReady, tenant: str) -> Sequence[ModelReady]:
        """Builds of a version that may serve its name, newest first."""
        found = self._catalogue.builds_of(version.version_id, SERVED_PREFIX, tenant=tenant)
        return [build for build in found if not is_held_back(build)]

    def _stand_in(self, version: ModelReady, served: ModelReady | None, tenant: str) -> ModelReady:
        """What answers where no engine runs a version: what serves its name, or its first build."""
        if served is None:
            return version
        if is_build(served):
            return served
        builds = self._builds(version, tenant)
        return builds[-1] if builds else version

    def _meant(self, tenant: str, name: str) -> str:
        """`name`; for the default's, where nothing bears it, that of the only served model."""
        if name != self._default_model or self._aliases.get(tenant, name) is not None:
            return name
        versions = self._catalogue.list(tenant)
        if candidates(name, None, versions, tenant):
            return name
        served = served_names(self._aliases.list(tenant), versions)
        if len(served) != 1:
            raise NoDefaultModelError(name, len(served))
        return served[0]

    def _candidates(self, tenant: str, name: str) -> Sequence[ModelReady]:
        name = self._meant(tenant, name)
        alias = self._aliases.get(tenant, name)
        aliased = alias.version_id if alias is not None else None
        try:
            # The usual case, without a walk over the whole catalogue.
            return [self._catalogue.get(tenant, aliased or name)]
        except NotFoundError:
            found = candidates(name, aliased, self._catalogue.list(tenant), tenant)
        if not found:
            raise ModelNotFoundError(self._unknown(tenant, name))
        return found

    def _unknown(self, tenant: str, name: str) -> str:
        """That there is no such model, which one may be meant, and where all stand."""
        known = {
            *(alias.name for alias in self._aliases.list(tenant)),
            *(version.name for version in self._catalogue.list(tenant)),
        }
        return (
            f"the model {name[:80]!r} does not exist.{did_you_mean(name, known)}"
            f" {where_listed(MODELS)}"
        )


def candidates(
    wanted: str, aliased: str | None, versions: Sequence[ModelReady], tenant: str
) -> Sequence[ModelReady]:
    """Versions that `wanted` may mean, best first.

    Of those with that name the first one, the tenant's own before a shared one, and builds last:
    a name stays with the version that it was given to.

    Args:
        wanted: what the caller wrote.
        aliased: version id that an alias of this name points to; an alias wins over everything.
        versions: every version that the caller may see, newest first.
    """
    version_id = aliased or wanted
    by_id = [version for version in versions if version.version_id == version_id]
    if by_id or aliased:
        return by_id
    named = [version for version in reversed(versions) if version.name == wanted]
    return sorted(named, key=lambda version: (version.tenant != tenant, is_build(version)))


def served_names(aliases: Sequence[AliasState], versions: Sequence[ModelReady]) -> Sequence[str]:
    """One name for each model that can be asked for: an alias of it, or else its own.

    Several aliases of one version are one model, and so are versions of one name.
    """
    by_version = {alias.version_id: alias.name for alias in reversed(aliases)}
    aliased = {version.name for version in versions if version.version_id in by_version}
    return [*by_version.values(), *({version.name for version in versions} - aliased)]


def is_build(version: ModelReady) -> bool:
    """Whether it was made of another version, as a form to serve or to export."""
    return version.form not in (WEIGHTS_FORM, ADAPTER_FORM)
