"""Choices of a division as DeepSpeed's configuration."""

from typing import Any

import pytest
from deepspeed.runtime.config import DeepSpeedConfig
from modelmill_trainer.domain.distribution import PRESETS, Distribution
from modelmill_trainer.domain.hyper_parameters import decide
from modelmill_trainer.training.distributed.zero_config import read_preset, zero_config

pytestmark = pytest.mark.heavy


def config_of(**chosen: Any) -> dict[str, Any]:
    return zero_config(Distribution(**chosen), decide("full", {"max_grad_norm": 0.5}), 64)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_values_that_its_file_has(name: str) -> None:
    preset, file = PRESETS[name], read_preset(name)
    zero = file["zero_optimization"]

    assert preset.zero_stage == zero["stage"]
    assert preset.offload_optimizer == (zero["offload_optimizer"]["device"] == "cpu")
    assert preset.offload_parameters == (zero["offload_param"]["device"] == "cpu")
    assert file[preset.precision] == {"enabled": True}


def test_preset_values_are_kept_unless_a_field_overrides_them() -> None:
    own = read_preset("guide-zero3")["zero_optimization"]["sub_group_size"]
    config = config_of(preset="guide-zero3", precision="fp16", offload_optimizer=True)

    assert config["zero_optimization"]["sub_group_size"] == own
    assert config["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert "offload_param" not in config["zero_optimization"]
    assert "bf16" not in config
    assert config["fp16"]["enabled"]
    assert config["gradient_clipping"] == 0.5


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_deepspeed_takes_every_combination(
    monkeypatch: pytest.MonkeyPatch, stage: int, precision: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    config = config_of(
        zero_stage=stage,
        precision=precision,
        offload_optimizer=True,
        offload_parameters=stage == 3,
    )

    read = DeepSpeedConfig(config)

    assert read.zero_optimization_stage == stage
    assert read.zero_config.offload_optimizer.device == "cpu"
    assert not read.managed_gradient_accumulation
