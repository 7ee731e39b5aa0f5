"""Use case: which engine runs a version, and for an adapter on which build of its base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.catalogue import ModelCatalogue
from modelmill_registry.default_build import is_slower
from modelmill_service_kit.errors import NotFoundError

from modelmill_inference.engine import EngineKind

ADAPTER = "adapter"


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs a version."""

    kind: EngineKind
    weights: ModelReady
    """The version whose weights are loaded: itself, or a form of an adapter's base."""
    base: ModelReady | None = None
    """Of an adapter: what it was trained on."""


def forms_for(
    adapter: ModelReady, base: ModelReady, builds: Sequence[ModelReady]
) -> Sequence[ModelReady]:
    """What an adapter may run upon, best first, whatever is built later.

    The newest build of its base that there was when it was announced, and that is not slower; then
    the base itself. Later builds, oldest first, and slower ones serve only where nothing else does.
    """
    usual = [each for each in builds if not is_slower(each)]
    before = [each for each in usual if _seconds(each) <= _seconds(adapter)]
    later = [each for each in reversed(usual) if each not in before]
    return [*before, base, *later, *(each for each in builds if is_slower(each))]


def _seconds(version: ModelReady) -> float:
    return float(version.created_at.ToNanoseconds())


class FindEngine:
    """Kinds are asked in their order; an adapter takes a form of its base, see `forms_for`.

    Args:
        missing: for forms that only an engine runs which is not installed: how to get it.
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

    def __call__(self, model: ModelReady) -> Runs:
        """The engine for a version.

        Raises:
            NotFoundError: no engine here runs its form, or its base is gone.
        """
        if model.form == ADAPTER:
            return self._for_adapter(model)
        for kind in self._kinds:
            if kind.can_run(model.form):
                return Runs(kind, model)
        raise self._no_engine(model)

    def _for_adapter(self, adapter: ModelReady) -> Runs:
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
        for form in forms_for(adapter, base, builds):
            for kind in self._kinds:
                if form.form != ADAPTER and kind.can_adapt(form.form):
                    return Runs(kind, form, base)
        raise NotFoundError(
            f"model version {adapter.version_id} cannot be served: no engine runs 'adapter' on a "
            f"form that its base {base_id} has. Build the base, or the adapter itself"
        )

    def _no_engine(self, model: ModelReady) -> NotFoundError:
        hint = f"; {self._missing[model.form]}" if model.form in self._missing else ""
        return NotFoundError(
            f"model version {model.version_id} cannot be served: "
            f"no engine runs {model.form!r}{hint}. POST /v1/optimizations builds another form of it"
        )
