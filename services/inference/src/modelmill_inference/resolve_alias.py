"""Resolves aliases in memory, once per request.

A moved alias takes effect here once its new version is loaded here. Until then the previous version
answers, so that no request waits for a load.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.envelope import Stored
from modelmill_bus.read_model import SHARED_TENANT
from modelmill_registry.aliases import split_versions

from modelmill_inference.domain.cascade import Cascade

CASCADE, SPLIT = "cascade", "split"
Alias = tuple[str, str]
"""Tenant and name."""
TenantVersion = tuple[str, str]
"""Tenant and version."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What an alias or version id resolves to."""

    version_id: str
    """Empty if the alias was removed."""
    cascade: Cascade | None = None
    """Set if a small version is tried first."""
    others_in_split: tuple[str, ...] = ()
    """Other versions of a split, which the gateway requests by id."""

    def versions(self) -> Iterator[str]:
        """All versions that it needs."""
        if self.version_id:
            yield self.version_id
            if self.cascade is not None:
                yield self.cascade.small
            yield from self.others_in_split


class AliasResolver:
    """The newest state of each alias; a tenant's own name hides a shared one.

    Args:
        can_serve: whether a tenant has a version, by tenant and id, that an engine here can run.
    """

    def __init__(self, can_serve: Callable[[str, str], bool]) -> None:
        self._can_serve = can_serve
        self._newest: dict[Alias, Stored[AliasState]] = {}
        self._followed: dict[Alias, ResolvedModel] = {}
        """What requests are resolved to."""

    def set(self, stored: Stored[AliasState], *, at_once: bool) -> None:
        """Apply an alias state; a removal and a first version take effect at once.

        Args:
            at_once: whether it takes effect even if the version is not loaded.
        """
        # The owner is taken from the subject, which the broker's permissions protect.
        _, _, tenant, name = stored.subject.split(".")
        alias, target = (tenant, name), _target(stored.body)
        self._newest[alias] = stored
        before = self._followed.get(alias)
        if at_once or not target.version_id or before is None or not before.version_id:
            self._followed[alias] = target

    def follow_ready(self, is_ready: Callable[[TenantVersion], bool]) -> None:
        """Apply moves whose versions are loaded, or have failed."""
        for alias, stored in self._newest.items():
            target = _target(stored.body)
            if self._followed[alias] != target and all(
                is_ready((alias[0], version_id)) for version_id in target.versions()
            ):
                self._followed[alias] = target

    def leave(self, owner: str, version_id: str) -> None:
        """Handle a retired version: moved aliases of its owner take effect at once."""
        for alias, stored in self._newest.items():
            may_name_it = owner in (alias[0], SHARED_TENANT)
            if may_name_it and version_id in self._followed[alias].versions():
                self._followed[alias] = _target(stored.body)

    def resolve_model(
        self, tenant: str, model: str, fallback_version_id: str = ""
    ) -> ResolvedModel:
        """Resolve an alias or version id, once per request: one version gives the whole answer.

        Args:
            fallback_version_id: used if `model` is neither a known alias nor a version that can be
                served here.
        """
        for owner in (tenant, SHARED_TENANT):
            target = self._followed.get((owner, model))
            if target is not None and target.version_id:
                return target
        if not fallback_version_id or self._can_serve(tenant, model):
            return ResolvedModel(model)
        return ResolvedModel(fallback_version_id)

    def named(self) -> dict[TenantVersion, Stored[AliasState]]:
        """Versions that aliases name by their newest state, each with the latest such state."""
        return {
            (tenant, version_id): stored
            for (tenant, _), stored in self._newest.items()
            for version_id in _target(stored.body).versions()
        }

    def in_use(self) -> frozenset[str]:
        """Versions that requests resolve to by an alias, now or after a pending move."""
        newest = {version_id for _, version_id in self.named()}
        return frozenset(newest.union(*(target.versions() for target in self._followed.values())))


def _target(state: AliasState) -> ResolvedModel:
    """Parse an alias state; unknown kinds and incomplete cascades resolve to the version alone."""
    options = state.options.fields
    if "kind" in options and options["kind"].string_value == SPLIT:
        named = dict.fromkeys(split_versions(state))
        return ResolvedModel(
            state.version_id, others_in_split=tuple(it for it in named if it != state.version_id)
        )
    small = options["small"].string_value if "small" in options else ""
    if "kind" not in options or options["kind"].string_value != CASCADE or not small:
        return ResolvedModel(state.version_id)
    # Without a calibrated threshold the small model's answer is never used.
    threshold = options["threshold"].number_value if "threshold" in options else math.inf
    return ResolvedModel(state.version_id, Cascade(small, threshold))
