"""Use case: choose the engine for a version, and for an adapter the build of its base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.default_build import is_held_back
from modelmill_service_kit.errors import NotFoundError

from modelmill_inference.engine import EngineKind

ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Engine kind and weights for a version."""

    kind: EngineKind
    weights: ModelReady
    """The version whose weights are loaded: itself, or a build of an adapter's base."""
    base: ModelReady | None = None
    """The adapter's base; None for other versions."""


def base_forms_for(
    adapter: ModelReady, base: ModelReady, builds: Sequence[ModelReady]
) -> Sequence[ModelReady]:
    """Forms of the base that an adapter may run on, best first; later builds do not change it.

    First the newest build of the base at the adapter's announcement, unless it is held back; then
    the base itself. Later builds, oldest first, and those held back only if nothing else works.
    """
    usual = [each for each in builds if not is_held_back(each)]
    before = [each for each in usual if _seconds(each) <= _seconds(adapter)]
    later = [each for each in reversed(usual) if each not in before]
    return [*before, base, *later, *(each for each in builds if is_held_back(each))]


def _seconds(version: ModelReady) -> float:
    return float(version.created_at.ToNanoseconds())


class FindEngine:
    """Tries the engine kinds in order; an adapter uses a form of its base, see `base_forms_for`.

    Args:
        missing: what to install or run, by how the name of a form begins that nothing here runs.
    """

    def __init__(
        self,
        models: ModelCatalogue,
        kinds: Sequence[EngineKind],
        missing: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._models = models
        self._kinds = kinds
        self._missing = missing

    def __call__(self, model: ModelReady) -> EngineChoice:
        """Choose the engine for a version.

        Raises:
            NotFoundError: no engine here runs its form, or its base was retired.
        """
        if model.form == ADAPTER:
            return self._for_adapter(model)
        for kind in self._kinds:
            if kind.can_run(model.form):
                return EngineChoice(kind, model)
        raise self._no_engine(model)

    def _for_adapter(self, adapter: ModelReady) -> EngineChoice:
        base_id = adapter.parent_version_id or adapter.base_version_id
        if not base_id:
            raise self._no_engine(adapter)
        try:
            base = self._models.get(adapter.tenant, base_id)
        except NotFoundError as error:
            raise NotFoundError(
                f"adapter {adapter.version_id} cannot be served: its base is gone. {error.message}"
            ) from error
        builds = self._models.builds_of(base_id, tenant=adapter.tenant)
        for form in base_forms_for(adapter, base, builds):
            for kind in self._kinds:
                if form.form != ADAPTER and kind.can_adapt(form.form):
                    return EngineChoice(kind, form, base)
        raise NotFoundError(
            f"model version {adapter.version_id} cannot be served: no engine runs 'adapter' on a "
            f"form that its base {base_id} has. Build the base, or the adapter itself"
        )

    def _no_engine(self, model: ModelReady) -> NotFoundError:
        hints = (hint for name, hint in self._missing.items() if model.form.startswith(name))
        hint = "".join(f"; {hint}" for hint in hints)
        return NotFoundError(
            f"model version {model.version_id} cannot be served: "
            f"no engine runs {model.form!r}{hint}. POST /v1/optimizations builds another form of it"
        )
