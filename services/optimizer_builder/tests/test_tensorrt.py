"""Graphs for TensorRT of tiny real models, checked with ONNX's checker and ONNX Runtime."""

from typing import Any

import pytest

from .builders import run_script

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

MODELS = ("llama", "qwen2", "qwen3")
FILES = {
    *("model.onnx", "model.onnx.data", "tensorrt_plan.json", "build.py", "trtexec.sh"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("config.json", "generation_config.json", "parity"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_script("build_tensorrt.py", tmp_path_factory.mktemp("tensorrt"))


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_has_onnxs_own_operators_and_the_sources_weights_in_bf16(
    found: dict[str, Any], model: str
) -> None:
    assert found[model]["domains"] == [""]
    assert "BFLOAT16" in found[model]["types"]
    assert found[model]["share"] < 1.05


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_computes_what_torch_does(found: dict[str, Any], model: str) -> None:
    likeness = found[model]["likeness"]

    assert likeness["form"] == "tensorrt-onnx, in ONNX Runtime"
    assert likeness["root_mean_square_share"] < 0.05
    assert likeness["greedy_agreement"] >= 0.9
    assert found[model]["scores"] < 0.05
    assert found[model]["likelihoods"] < 0.05


def test_several_texts_at_once_are_read_with_their_caches(found: dict[str, Any]) -> None:
    assert found["batch_off"] < 0.05


@pytest.mark.parametrize("model", MODELS)
def test_a_graph_lies_beside_a_plan_that_fits_it_and_what_builds_the_engine(
    found: dict[str, Any], model: str
) -> None:
    assert set(found[model]["files"]) == FILES
    assert found[model]["plan_errors"] == []
    assert found[model]["phases"] == ["merge", "export", "check"]
    assert found[model]["rates"] == 0


def test_planted_damage_is_refused_by_name(found: dict[str, Any]) -> None:
    damage = found["damage"]

    assert damage["zeroed"] in ("LOGITS_DIFFER", "GREEDY_DISAGREES")
    assert "operators that are not ONNX's own: com.microsoft." in damage["foreign"]
    assert "the exported graph is not valid" in damage["untyped"]
