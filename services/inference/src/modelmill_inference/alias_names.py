"""What aliases name, in memory: a request is resolved once, without anybody being asked.

An alias that moves is followed here when its new version is warm here. Until then the one before
answers: a replica that others have overtaken keeps nobody waiting for a load.
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
Named = tuple[str, str]
"""Tenant and version."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a name means."""

    version_id: str
    """Empty: nothing any more."""
    cascade: Cascade | None = None
    """Set when a small version is asked first."""
    beside: tuple[str, ...] = ()
    """Versions that the gateway asks for by their ids: the name is shared out among them."""

    def versions(self) -> Iterator[str]:
        """All that it takes to answer."""
        if self.version_id:
            yield self.version_id
            if self.cascade is not None:
                yield self.cascade.small
            yield from self.beside


class AliasNames:
    """The newest state of each alias; a tenant's own name hides a shared one.

    Args:
        can_serve: whether a tenant has a version, by tenant and id, that an engine here can run.
    """

    def __init__(self, can_serve: Callable[[str, str], bool]) -> None:
        self._can_serve = can_serve
        self._told: dict[Alias, Stored[AliasState]] = {}
        self._followed: dict[Alias, Target] = {}
        """What requests go to."""

    def set(self, stored: Stored[AliasState], *, at_once: bool) -> None:
        """Take in a state as the bus told it; a removal and a first version are followed at once.

        Args:
            at_once: follow it, ready or not.
        """
        # The subject says whose alias it is: that is what the broker's permissions guard.
        _, _, tenant, name = stored.subject.split(".")
        alias, target = (tenant, name), _target(stored.body)
        self._told[alias] = stored
        before = self._followed.get(alias)
        if at_once or not target.version_id or before is None or not before.version_id:
            self._followed[alias] = target

    def follow_ready(self, is_ready: Callable[[Named], bool]) -> None:
        """Follow moves whose versions are ready, or will never be."""
        for alias, stored in self._told.items():
            target = _target(stored.body)
            if self._followed[alias] != target and all(
                is_ready((alias[0], version_id)) for version_id in target.versions()
            ):
                self._followed[alias] = target

    def leave(self, owner: str, version_id: str) -> None:
        """A version is retired: its owner's aliases that moved on are followed at once."""
        for alias, stored in self._told.items():
            may_name_it = owner in (alias[0], SHARED_TENANT)
            if may_name_it and version_id in self._followed[alias].versions():
                self._followed[alias] = _target(stored.body)

    def target_of(self, tenant: str, model: str, fallback_version_id: str = "") -> Target:
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
            return Target(model)
        return Target(fallback_version_id)

    def named(self) -> dict[Named, Stored[AliasState]]:
        """What aliases name by their newest state, with the move that came last to name it."""
        return {
            (tenant, version_id): stored
            for (tenant, _), stored in self._told.items()
            for version_id in _target(stored.body).versions()
        }

    def in_use(self) -> frozenset[str]:
        """Versions that requests go to by an alias, or will."""
        newest = {version_id for _, version_id in self.named()}
        return frozenset(newest.union(*(target.versions() for target in self._followed.values())))


def _target(state: AliasState) -> Target:
    """An alias of another kind, or a cascade that is not whole, is by its version alone."""
    options = state.options.fields
    if "kind" in options and options["kind"].string_value == SPLIT:
        named = dict.fromkeys(split_versions(state))
        return Target(state.version_id, beside=tuple(it for it in named if it != state.version_id))
    small = options["small"].string_value if "small" in options else ""
    if "kind" not in options or options["kind"].string_value != CASCADE or not small:
        return Target(state.version_id)
    # Without a calibrated threshold the small model is never believed.
    threshold = options["threshold"].number_value if "threshold" in options else math.inf
    return Target(state.version_id, Cascade(small, threshold))
