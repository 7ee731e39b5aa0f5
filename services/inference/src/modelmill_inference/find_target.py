"""Use case: what a request's model means on this replica."""

from typing import Protocol

from modelmill_inference.alias_names import AliasNames, Target


class Versions(Protocol):
    """See `lease_version.VersionPool`."""

    def can_serve(self, tenant: str, version_id: str) -> bool: ...


class FindTarget:
    """Looked up once for each request, so that an answer is by one version to its end."""

    def __init__(self, names: AliasNames, versions: Versions) -> None:
        self._names = names
        self._versions = versions

    def __call__(self, tenant: str, model: str, fallback_version_id: str = "") -> Target:
        """What the alias or version id means.

        Args:
            fallback_version_id: taken where `model` is no alias that this replica has heard of, nor
                a version that an engine of its can run.
        """
        target = self._names.target_of(tenant, model)
        if target.version_id != model or fallback_version_id in ("", model):
            return target
        return target if self._versions.can_serve(tenant, model) else Target(fallback_version_id)
