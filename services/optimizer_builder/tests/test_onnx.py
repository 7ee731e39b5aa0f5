"""ONNX builds of tiny real models, by ONNX Runtime GenAI's builder and ONNX Runtime themselves."""

from pathlib import Path
from typing import Any

import pytest

from .builders import run_script

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

FILES = {
    "model.onnx",
    "model.onnx.data",
    "genai_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "parity",
}
INT8 = ("llama onnx-int8", "qwen2 onnx-int8", "adapter")
INT4 = ("llama onnx-int4", "qwen3 onnx-int4")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_adapter: Path) -> dict[str, Any]:
    return run_script("build_onnx.py", tmp_path_factory.mktemp("onnx"), tiny_adapter)


@pytest.mark.parametrize("build", ["llama onnx-fp32", *INT8, *INT4])
def test_a_build_has_every_file_that_serving_needs_and_no_other(
    found: dict[str, Any], build: str
) -> None:
    assert set(found[build]["files"]) == FILES
    assert found[build]["phases"] == ["merge", "export", "quantise", "check"]
    assert found[build]["rounds"] == [6, 6]
    reference, built = found[build]["likelihoods"]
    assert built == pytest.approx(reference, abs=1.0)
    assert reference < 0


@pytest.mark.parametrize("build", INT8)
def test_all_products_of_int8_have_int8_weights(found: dict[str, Any], build: str) -> None:
    assert found[build]["bits"] == [8]
    assert found[build]["share"] < 0.8
    assert found[build]["method"]["block_size"] == 32


@pytest.mark.parametrize("build", INT4)
def test_int4_has_int4_weights_and_int8_where_it_matters(found: dict[str, Any], build: str) -> None:
    assert found[build]["bits"] == [4, 8]
    assert "k-quant" in found[build]["method"]["weights"]


def test_fp32_has_the_weights_of_its_source(found: dict[str, Any]) -> None:
    build = found["llama onnx-fp32"]

    assert build["bits"] == []
    assert 2 <= build["share"] < 2.25
    assert build["likeness"]["largest_share"] < 0.001


@pytest.mark.parametrize("build", [*INT8, *INT4])
def test_the_embedding_is_read_from_int8_blocks_the_heads_own_where_they_are_tied(
    found: dict[str, Any], build: str
) -> None:
    assert "GatherBlockQuantized" in found[build]["embedding"]
    assert found[build]["shares_head"] == (build != "qwen2 onnx-int8")


@pytest.mark.parametrize("build", [*INT8, *INT4])
def test_a_build_is_like_its_source_within_the_limits_of_its_form(
    found: dict[str, Any], build: str
) -> None:
    likeness = found[build]["likeness"]
    most, least = (0.9, 0.25) if build in INT4 else (0.2, 0.8)

    assert likeness["form"].endswith(", as served")
    assert 0 < likeness["root_mean_square_share"] < most
    assert likeness["greedy_agreement"] >= least


def test_scores_of_choices_are_torchs(found: dict[str, Any]) -> None:
    assert found["scores_off"] < 1e-3


def test_a_merged_model_computes_distant_positions_as_its_source(found: dict[str, Any]) -> None:
    assert found["far_off"] < 1e-4


def test_planted_damage_is_refused(found: dict[str, Any]) -> None:
    assert set(found["damage"]) == {"scaled", "zeroed", "reversed_codes"}
    for code in found["damage"].values():
        assert code in ("LOGITS_DIFFER", "GREEDY_DISAGREES"), found["damage"]


def test_an_embedding_that_is_tied_against_config_json_is_refused(found: dict[str, Any]) -> None:
    assert found["untied"].endswith("are tied, in config.json untied")


def test_an_architecture_that_the_builder_does_not_know_is_named(found: dict[str, Any]) -> None:
    assert found["unheard_of"].startswith(
        "ONNX Runtime GenAI cannot export a model of type llama: "
    )
    assert found["unheard_of"].endswith("The given model is not currently supported.")
