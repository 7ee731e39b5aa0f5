"""Which versions get a build unasked, what its ids are, and which builds are not to be served."""

import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.default_build import (
    default_build_of,
    is_held_back,
    is_lossy,
    is_slower,
    is_unscored,
)


@pytest.mark.parametrize(
    ("form", "method", "job_id", "is_built"),
    [
        ("adapter", "lora", "ftjob-1", True),
        ("adapter", "", "ftjob-1", True),
        ("adapter", "prefix", "ftjob-1", False),
        ("adapter", "prompt", "ftjob-1", False),
        ("safetensors", "full", "ftjob-1", True),
        ("safetensors", "pruned", "job-1", False),
        ("safetensors", "", "", False),
        ("openvino-int8", "", "job-1", False),
    ],
)
def test_what_training_made_gets_a_default_build_and_nothing_else(
    form: str, method: str, job_id: str, is_built: bool
) -> None:
    version = ModelReady(version_id="mv-1", tenant="acme", form=form, method=method, job_id=job_id)
    build = default_build_of(version)

    assert (build is not None) == is_built
    assert default_build_of(version) == build
    others = ModelReady(version_id="mv-2", tenant="acme", form=form, method=method, job_id=job_id)
    assert build is None or default_build_of(others) != build


@pytest.mark.parametrize(
    ("figures", "slower"),
    [
        ({}, False),
        ({"speedup": 0.5}, True),
        ({"speedup": 1.6}, False),
        ({"speedup": 0.9, "speedup_high": 1.1}, False),
        ({"speedup": 0.9, "speedup_high": 0.99}, True),
    ],
)
def test_a_build_is_slower_by_what_its_own_checks_measured(
    figures: dict[str, float], slower: bool
) -> None:
    assert is_slower(ModelReady(metrics=figures)) == slower


@pytest.mark.parametrize(
    ("figures", "lossy"),
    [
        ({}, False),
        ({"accuracy_loss": 0.5}, False),
        ({"accuracy_loss": 0.02, "accuracy_loss_allowed": 0.02}, False),
        ({"accuracy_loss": 0.021, "accuracy_loss_allowed": 0.02}, True),
        ({"accuracy_loss": -0.1, "accuracy_loss_allowed": 0.0}, False),
    ],
)
def test_a_build_is_lossy_when_it_loses_more_than_its_order_allowed(
    figures: dict[str, float], lossy: bool
) -> None:
    build = ModelReady(metrics=figures)

    assert is_lossy(build) == is_held_back(build) == lossy
    assert is_held_back(ModelReady(metrics=figures | {"speedup_high": 0.9}))


def test_a_build_whose_limited_loss_was_not_measured_is_held_back_and_not_called_lossy() -> None:
    build = ModelReady(metrics={"accuracy_loss_allowed": 0.02})

    assert is_unscored(build)
    assert is_held_back(build)
    assert not is_lossy(build)
    assert not is_unscored(ModelReady(metrics={"speedup": 1.5}))
