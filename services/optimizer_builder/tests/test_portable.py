"""Forms to export, made of tiny real models, read by other libraries, and damaged."""

from typing import Any

import pytest

from .builders import run_script

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

SHARES = {
    "compressed-tensors-int8": 0.75,
    "compressed-tensors-int4": 0.65,
    "gguf-bf16": 1.01,
    "gguf-q8_0": 0.56,
    "gguf-q4_0": 0.45,
    "gguf-q4_1": 0.47,
}
"""Most bytes of weights, as a share of bf16; a tiny model's embedding is a large part of it."""
ERRORS = {
    "compressed-tensors-int8": 0.02,
    "compressed-tensors-int4": 0.12,
    "gguf-bf16": 0.0,
    "gguf-q8_0": 0.01,
    "gguf-q4_0": 0.12,
    "gguf-q4_1": 0.12,
}
GREEDY = {"bf16": 0.95, "int8": 0.9, "q8_0": 0.9, "int4": 0.3, "q4_0": 0.3, "q4_1": 0.4}
"""Least share of likeliest tokens; random weights have many that are nearly as likely."""
BUILDS = [
    *(f"llama {form}" for form in SHARES),
    *("qwen2 compressed-tensors-int8", "qwen2 gguf-q8_0"),
    *("qwen3 compressed-tensors-int4", "qwen3 gguf-bf16"),
]
"""The model of each, and its form; `build_portable.MADE` is the same."""
CODES = {
    "scaled_gguf": "TENSOR_SCALED",
    "zeroed_gguf": "TENSOR_ZEROED",
    "reversed_gguf": "WEIGHTS_DIFFER",
    "other_template_gguf": "TEMPLATE_MISMATCH",
    "other_merges_gguf": "TOKENIZER_MISMATCH",
    "untied_gguf": "HEAD_CONTRADICTS",
    "scaled_packed": "TENSOR_SCALED",
    "zeroed_packed": "TENSOR_ZEROED",
    "other_template_packed": "TEMPLATE_MISMATCH",
    "untied_packed": "HEAD_CONTRADICTS",
    "without_tensor": "TENSOR_MISSING",
    "other_bits": "CONFIG_DIFFERS",
}


GGUF = [build for build in BUILDS if "gguf" in build]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_script("build_portable.py", tmp_path_factory.mktemp("portable"))


@pytest.mark.parametrize("build", BUILDS)
def test_a_form_to_export_is_small_and_holds_the_weights_of_its_source(
    found: dict[str, Any], build: str
) -> None:
    form = build.split()[1]

    assert found[build]["share"] <= SHARES[form]
    assert found[build]["weights"]["largest_error"] <= ERRORS[form]
    assert found[build]["likeness"]["form"] == f"{form}, dequantised"
    assert found[build]["likeness"]["greedy_agreement"] >= GREEDY[form.split("-")[-1]]


@pytest.mark.parametrize("build", BUILDS)
def test_what_others_read_of_a_form_answers_as_what_was_checked(
    found: dict[str, Any], build: str
) -> None:
    if build.startswith("qwen3 gguf"):
        # transformers takes no width of heads from a GGUF file of Qwen 3.
        assert "witness" not in found[build]
    else:
        assert found[build]["witness"] < 0.001


@pytest.mark.parametrize("build", GGUF)
def test_llama_cpp_reads_renders_and_answers_the_golden_prompts_as_training_did(
    found: dict[str, Any], build: str
) -> None:
    runtime = found[build]["runtime"]

    assert found[build]["read_alike"] == 5
    assert runtime["prompts_rendered_alike"] == 5
    assert runtime["greedy_agreement"] >= GREEDY[build.split("-")[-1]]


@pytest.mark.parametrize("damage", CODES)
def test_a_damaged_form_is_refused_by_the_name_of_its_damage(
    found: dict[str, Any], damage: str
) -> None:
    code, message = found[damage]

    assert code == CODES[damage], message


def test_a_refusal_names_the_tensor_and_what_became_of_it(found: dict[str, Any]) -> None:
    assert "'model.layers.1.mlp.up_proj.weight'" in found["scaled_gguf"][1]
    assert "1.1 times" in found["scaled_gguf"][1]
    assert "1.09 times" in found["scaled_packed"][1]


@pytest.mark.parametrize("source", ["untied", "headless"])
def test_a_source_whose_output_layer_contradicts_its_config_is_refused_for_every_form(
    found: dict[str, Any], source: str
) -> None:
    assert found[source][0] == "HEAD_CONTRADICTS"


def test_choices_are_scored_as_by_one_pass_for_each(found: dict[str, Any]) -> None:
    assert found["scores"]["ours"] == pytest.approx(found["scores"]["plain"], abs=1e-4)


def test_a_gguf_build_has_a_modelfile_with_template_and_default_system_turn(
    found: dict[str, Any],
) -> None:
    text = found["modelfile"]

    assert text.startswith("FROM ./model.gguf\nTEMPLATE ")
    assert '{{ if eq $turn.Role "system" }}<|im_start|>system\n' in text
    assert '\nSYSTEM """You are a helpful AI assistant named SmolLM' in text
    assert 'PARAMETER stop "<|im_end|>"\n' in text


@pytest.mark.parametrize("form", ["compressed-tensors-int8", "gguf-q8_0"])
def test_a_form_to_export_has_all_that_its_runtime_reads(found: dict[str, Any], form: str) -> None:
    files = set(found[f"llama {form}"]["files"])

    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} < files
    assert {"model.gguf", "Modelfile"} < files or "model.safetensors" in files
