"""Which model version a name means, and which form of it can answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

BUILD_PREFIX = "openvino"
WEIGHTS_FORM = "safetensors"
ADAPTER_FORM = "adapter"


class Version(Protocol):
    """What the rules need to know of a model version."""

    @property
    def version_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def form(self) -> str: ...
    @property
    def parent_version_id(self) -> str: ...
    @property
    def base_version_id(self) -> str: ...


VersionT = TypeVar("VersionT", bound=Version)
VersionC = TypeVar("VersionC", bound=Version, covariant=True)


@dataclass(frozen=True)
class TrainingStart(Generic[VersionC]):
    """What a training run begins from."""

    base: VersionC
    adapter: VersionC | None = None
    """A LoRA adapter of the base, which the run goes on from."""

    @property
    def version(self) -> VersionC:
        """What was named, or what a build that was named is made from."""
        return self.adapter or self.base


class Alias(Protocol):
    """What the rules need to know of an alias."""

    @property
    def name(self) -> str: ...
    @property
    def version_id(self) -> str: ...


class Shadow(Protocol):
    """See `modelmill_gateway.domain.split.Shadow`."""

    @property
    def version_id(self) -> str: ...
    @property
    def share(self) -> float: ...


@dataclass(frozen=True)
class Loading:
    """How far an engine is with loading a version."""

    elapsed_seconds: float
    remaining_seconds: float | None
    """By earlier loads; None where there is none to go by, or it takes longer than they did."""


@dataclass(frozen=True)
class AskedModel:
    """What inference is asked for: `model` is an alias, which it resolves, or a version id.

    `fallback_version_id` is run where it has not heard of the alias, or has no engine for the form.
    """

    model: str
    fallback_version_id: str = ""
    variant: str = ""
    """Name of the variant that `model` is, where an alias has several."""
    fallbacks: tuple[str, ...] = ()
    """Versions that are asked in order where it cannot begin."""
    shadow: Shadow | None = None
    """Asked the same behind the answer."""


def candidates(
    wanted: str, aliased: str | None, versions: Sequence[VersionT], tenant: str
) -> Sequence[VersionT]:
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


def served_names(aliases: Sequence[Alias], versions: Sequence[Version]) -> Sequence[str]:
    """One name for each model that can be asked for: an alias of it, or else its own.

    Several aliases of one version are one model, and so are versions of one name.
    """
    by_version = {alias.version_id: alias.name for alias in reversed(aliases)}
    aliased = {version.name for version in versions if version.version_id in by_version}
    return [*by_version.values(), *({version.name for version in versions} - aliased)]


def is_build(version: Version) -> bool:
    """Whether it is a small, fast form, made to be served; every inference runs it."""
    return version.form.startswith(BUILD_PREFIX)
