"""What an adapter runs upon is settled when it is announced: later builds change no adapter."""

from dataclasses import dataclass
from typing import Any

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.find_engine import FindEngine

from .fakes import FakeKind, FakeModels

ADAPTED_AT = 100
SLOW = {"speedup_high": 0.6}
LOSSY = {"accuracy_loss": 0.05, "accuracy_loss_allowed": 0.02}


@dataclass(frozen=True)
class Adapts(FakeKind):
    """An engine that puts adapters upon one form."""

    form: str = ""

    def can_adapt(self, form: str) -> bool:
        return form == self.form


BUILDS, BASES = Adapts(form="openvino-int8"), Adapts(form="safetensors")


def weights(kinds: list[Adapts], *builds: tuple[str, int, dict[str, float]]) -> str:
    """Id of the version whose weights the adapter gets, of builds by id, time and figures."""
    models = FakeModels()

    def announce(version_id: str, seconds: int, **fields: Any) -> ModelReady:
        model = ModelReady(version_id=version_id, tenant="acme", **fields)
        model.created_at.FromSeconds(seconds)
        models.versions["acme", version_id] = model
        return model

    announce("mv-base", 1, form="safetensors")
    adapter = announce("mv-adapter", ADAPTED_AT, form="adapter", parent_version_id="mv-base")
    for version_id, seconds, figures in sorted(builds, key=lambda build: build[1]):
        fields = {"form": "openvino-int8", "parent_version_id": "mv-base", "metrics": figures}
        announce(version_id, seconds, **fields)
    return FindEngine(models, kinds)(adapter).weights.version_id


def test_an_adapter_never_runs_on_weights_that_were_trained_further() -> None:
    models = FakeModels()
    for version_id, form, parent in (
        ("mv-base", "safetensors", ""),
        ("mv-fully-tuned", "safetensors", "mv-base"),
        ("mv-adapter", "adapter", "mv-base"),
    ):
        model = ModelReady(
            version_id=version_id, tenant="acme", form=form, parent_version_id=parent
        )
        models.versions["acme", version_id] = model

    assert FindEngine(models, [BASES])(model).weights.version_id == "mv-base"


@pytest.mark.parametrize(
    ("builds", "expected"),
    [
        ([], "mv-base"),
        ([("mv-early", 10, {})], "mv-early"),
        ([("mv-first", 10, {}), ("mv-second", 20, {})], "mv-second"),
        ([("mv-late", 200, {})], "mv-base"),
        ([("mv-early", 10, {}), ("mv-late", 200, {})], "mv-early"),
        ([("mv-slow", 10, SLOW)], "mv-base"),
        ([("mv-early", 10, {}), ("mv-slow", 20, SLOW)], "mv-early"),
        ([("mv-early", 10, {}), ("mv-lossy", 20, LOSSY)], "mv-early"),
    ],
)
def test_later_and_slower_builds_change_nothing(
    builds: list[tuple[str, int, dict[str, float]]], expected: str
) -> None:
    assert weights([BUILDS, BASES], *builds) == expected


def test_where_nothing_else_can_be_adapted_the_first_later_build_is() -> None:
    late = [("mv-late", 200, {}), ("mv-later", 300, {})]

    assert weights([BUILDS], *late) == "mv-late"
    assert weights([BUILDS], ("mv-slow", 10, SLOW)) == "mv-slow"


def test_no_adapter_runs_on_a_build_whose_layers_were_scaled_by_calibration() -> None:
    openvino = OpenVinoKind(PipelineOptions())

    assert openvino.can_adapt("openvino-int8")
    assert openvino.can_run("openvino-int4")
    assert not openvino.can_adapt("openvino-int4")
