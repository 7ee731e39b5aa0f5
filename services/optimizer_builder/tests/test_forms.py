"""Rules of the registry of forms, and of calibration sets."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from modelmill_jobs.errors import JobFailed
from modelmill_optimizer_builder.build_model import refuse_architecture
from modelmill_optimizer_builder.domain.build_plan import NotSmallerError, refuse_larger
from modelmill_optimizer_builder.domain.calibration import (
    SAMPLE_TOKENS,
    SAMPLES,
    choose_rows,
    mixed,
)
from modelmill_optimizer_builder.domain.forms import FORMS, form_named
from modelmill_optimizer_builder.domain.group_size import group_size_of
from modelmill_optimizer_builder.domain.onnx_support import ARCHITECTURES
from modelmill_registry.default_build import FORM
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.models import make_tiny_deepseek, make_tiny_llama

LARGER = {"onnx-fp32": 225, "gguf-bf16": 105, "tensorrt-onnx": 150, "tensorrt-engine": 150}
"""Percent of their sources in bf16 that forms may have."""
GENERAL = range(100_000, 100_000 + SAMPLES * SAMPLE_TOKENS)


def test_an_unknown_form_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(InvalidInputError) as caught:
        form_named("gguf")

    assert "'gguf'" in caught.value.message
    for name in FORMS:
        assert repr(name) in caught.value.message


def test_a_slip_in_a_form_is_answered_with_the_form_that_was_meant() -> None:
    with pytest.raises(InvalidInputError, match="Did you mean 'onnx-int8'"):
        form_named("onx-int8")


def test_the_default_form_is_built_from_what_gets_a_default_build() -> None:
    assert set(form_named(FORM).sources) == {"adapter", "safetensors"}


def test_a_smaller_form_is_estimated_smaller_and_needs_more_memory_while_it_is_made() -> None:
    int8, int4 = form_named("openvino-int8"), form_named("openvino-int4")

    assert int4.size_bytes(1 << 30) < int8.size_bytes(1 << 30) < 1 << 30
    assert int4.needs(1 << 30).memory_bytes > int8.needs(1 << 30).memory_bytes > 4 << 30


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"hidden_size": 576}, 32),
        ({"hidden_size": 48}, 16),
        ({"hidden_size": 40}, None),
        ({"text_config": {"hidden_size": 2304}}, 32),
        ({}, None),
    ],
)
def test_the_group_size_divides_the_hidden_size(
    config: dict[str, object], size: int | None
) -> None:
    assert group_size_of(config) == size


def test_a_model_that_no_group_size_divides_is_refused_with_its_hidden_size() -> None:
    config = {"model_type": "llama", "hidden_size": 40}

    assert "hidden size 40" in form_named("openvino-int4").refusal(config)
    assert form_named("openvino-int8").refusal(config) == ""


@pytest.mark.parametrize("version", [2, 3])
def test_an_architecture_is_refused_by_name_before_any_work(tmp_path: Path, version: int) -> None:
    mixture = make_tiny_deepseek(tmp_path / "mixture", version=version)

    with pytest.raises(JobFailed) as caught:
        refuse_architecture("openvino-int4", mixture)

    assert caught.value.code == "UNSUPPORTED_ARCHITECTURE"
    assert f"deepseek_v{version}: it is a mixture of experts" in caught.value.message
    refuse_architecture("openvino-int8", mixture)
    refuse_architecture("openvino-int4", make_tiny_llama(tmp_path / "llama"))


@pytest.mark.parametrize("form", ["onnx-fp32", "onnx-int8", "onnx-int4"])
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 8}, "qwen3_moe: it is a mixture of experts"),
        ({"model_type": "minicpm3", "kv_lora_rank": 64}, "minicpm3: it has latent attention"),
        ({"model_type": "bloom", "architectures": ["BloomForCausalLM"]}, "BloomForCausalLM"),
        ({"model_type": "odd"}, "names nothing"),
    ],
)
def test_what_the_onnx_builder_cannot_write_is_refused_by_name(
    form: str, config: dict[str, object], reason: str
) -> None:
    assert reason in form_named(form).refusal(config)


def test_what_the_onnx_builder_can_write_is_not_refused() -> None:
    for architecture in ARCHITECTURES:
        config = {"architectures": [architecture], "hidden_size": 64}
        assert form_named("onnx-int4").refusal(config) == ""
    odd = {"architectures": ["LlamaForCausalLM"], "hidden_size": 40}
    assert form_named("onnx-fp32").refusal(odd) == ""
    assert "hidden size 40" in form_named("onnx-int8").refusal(odd)


PHI3 = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "hidden_size": 64}
LONG = {"rope_type": "longrope", "type": "longrope"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"max_position_embeddings": 512}, "of type longrope, and those of this model are default"),
        ({"rope_parameters": LONG}, "of type default, and those of this model are longrope"),
        (
            {"max_position_embeddings": 8192, "rope_parameters": {"rope_type": "longrope"}},
            "no key type in config.json",
        ),
    ],
)
def test_a_phi3_whose_positions_the_onnx_builder_would_read_otherwise_is_refused(
    config: dict[str, object], reason: str
) -> None:
    assert reason in form_named("onnx-int8").refusal(PHI3 | config)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_position_embeddings": 512, "original_max_position_embeddings": 512},
        {"max_position_embeddings": 131072, "rope_parameters": LONG},
        {"max_position_embeddings": 131072, "rope_scaling": {"type": "su"}},
    ],
)
def test_a_phi3_as_the_hub_has_them_is_not_refused(config: dict[str, object]) -> None:
    assert form_named("onnx-int8").refusal(PHI3 | config) == ""


def test_every_architecture_of_the_onnx_forms_is_one_that_the_builder_knows() -> None:
    library = find_spec("onnxruntime_genai")
    assert library is not None
    assert library.origin is not None
    known = (Path(library.origin).parent / "models" / "builder.py").read_text()

    assert [name for name in ARCHITECTURES if f'== "{name}"' not in known] == []


def test_only_forms_without_rounding_may_be_larger_than_their_source_and_not_by_much() -> None:
    for name in FORMS:
        allowed = LARGER.get(name, 100)
        refuse_larger(name, allowed - 1, 100)
        with pytest.raises(NotSmallerError, match="in bf16 100"):
            refuse_larger(name, allowed, 100)


def test_half_of_a_calibration_is_of_training_rows_where_they_are_long_enough() -> None:
    rows = [range(row * 1000, row * 1000 + 600) for row in range(20)]

    found = mixed(rows, GENERAL)

    assert len(found.samples) == SAMPLES
    assert found.from_training == SAMPLES // 2
    assert all(token < 100_000 for sample in found.samples[: SAMPLES // 2] for token in sample)
    assert all(token >= 100_000 for sample in found.samples[SAMPLES // 2 :] for token in sample)
    assert {len(sample) for sample in found.samples} == {SAMPLE_TOKENS}


def test_general_text_fills_what_short_rows_leave() -> None:
    found = mixed([range(SAMPLE_TOKENS), range(SAMPLE_TOKENS)], GENERAL)

    assert (len(found.samples), found.from_training) == (SAMPLES, 2)


def test_a_long_row_does_not_stand_for_all() -> None:
    found = mixed([range(50_000), *([range(60_000, 60_128)] * 12)], GENERAL)

    assert found.from_training == SAMPLES // 2
    assert all(token < 512 or token >= 60_000 for sample in found.samples for token in sample)


def test_another_sample_is_another_digest() -> None:
    one, other = mixed([range(300)], GENERAL), mixed([range(1, 301)], GENERAL)

    assert one.digest == mixed([range(300)], GENERAL).digest
    assert one.digest != other.digest


def test_chosen_rows_are_from_the_whole_file_and_always_the_same() -> None:
    lines = [str(number) for number in range(10_000)]

    chosen = choose_rows(lines)

    assert chosen == choose_rows(lines)
    assert len(set(chosen)) == 128
    assert max(map(int, chosen)) > 9_000
    assert min(map(int, chosen)) < 1_000
