"""int4 builds of tiny real models, by NNCF and OpenVINO themselves."""

from typing import Any

import pytest
from modelmill_optimizer_builder.domain.forms import FORMS

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

MODELS = ("qwen3", "qwen2")


@pytest.fixture(scope="module")
def found(other_models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return other_models["build_int4.py"]


@pytest.mark.parametrize("model", MODELS)
def test_the_layers_have_int4_weights_and_the_embedding_int8(
    found: dict[str, Any], model: str
) -> None:
    types = found[model]["types"]

    assert set(types) <= {"u4", "u8", "i64", "f32", "f16", "i32"}, types
    assert types["u4"] > types["u8"] > 0
    assert found[model]["method"]["group_size"] == 32


@pytest.mark.parametrize("model", MODELS)
def test_an_int4_build_is_like_its_source_within_the_limits_of_its_form(
    found: dict[str, Any], model: str
) -> None:
    likeness = found[model]["likeness"]

    assert likeness["form"] == "openvino-int4, as served"
    assert 0 < likeness["root_mean_square_share"] < 1.1
    assert likeness["greedy_agreement"] >= 0.25


@pytest.mark.parametrize("model", MODELS)
def test_the_serving_engine_generates_with_an_int4_build(found: dict[str, Any], model: str) -> None:
    assert found[model]["generated"] == 8


@pytest.mark.parametrize("model", MODELS)
def test_an_int4_build_with_weights_in_another_order_is_refused(
    found: dict[str, Any], model: str
) -> None:
    assert found[model]["damaged"] in ("LOGITS_DIFFER", "GREEDY_DISAGREES")


def test_every_form_of_the_registry_has_a_builder(found: dict[str, Any]) -> None:
    assert set(found["loaded"]) == set(FORMS)
