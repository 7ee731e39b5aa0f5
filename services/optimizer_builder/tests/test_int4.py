"""Builds of tiny real models that are no Llama: int4 by NNCF, mixtures, and those with windows.

All of them are in this file, so that one process makes them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from modelmill_optimizer_builder.domain.forms import FORMS
from modelmill_optimizer_builder.domain.int4_methods import COMPETING

from .builders import run_scripts

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

MODELS = ("qwen3", "qwen2")


@pytest.fixture(scope="module")
def other_models(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path
) -> dict[str, dict[str, Any]]:
    """What became of the builds, by script."""
    mixtures, windows, int4 = (
        tmp_path_factory.mktemp(name) for name in ("mixed", "window", "int4")
    )
    prefix = mixtures / "prefix"
    shutil.copytree(tiny_adapter, prefix)
    (prefix / "adapter_config.json").write_text(json.dumps({"peft_type": "PREFIX_TUNING"}))
    return run_scripts(
        {
            "build_mixtures.py": (mixtures, tiny_base, prefix),
            "build_windows.py": (windows, tiny_base),
            "build_int4.py": (int4,),
        }
    )


@pytest.fixture(scope="module")
def found(other_models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return other_models["build_int4.py"]


@pytest.mark.parametrize("model", MODELS)
def test_the_layers_have_int4_weights_and_the_embedding_int8(
    found: dict[str, Any], model: str
) -> None:
    types = found[model]["types"]

    assert set(types) <= {"u4", "u8", "i64", "f32", "f16", "i32"}, types
    # A fifth of the layers is int8, too, and a tiny model's embedding is as large as its layers.
    assert types["u4"] > types["u8"] / 2 > 0
    assert found[model]["method"]["group_size"] == 32
    assert found[model]["method"]["ratio"] == 0.8


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


@pytest.mark.parametrize("model", MODELS)
def test_several_methods_compete_and_one_of_them_is_the_build(
    found: dict[str, Any], model: str
) -> None:
    method = found[model]["method"]
    names = [candidate["name"] for candidate in method["candidates"]]

    assert names == list(COMPETING)
    assert method["chosen_for"] == "the lowest perplexity of general text"
    assert method["judged_by"] == {"rows": 0, "split": "", "general_texts": 5}
    assert all(candidate["seconds"] > 0 for candidate in method["candidates"])
    assert found[model]["left_in_scratch"] == ["reference"]


@pytest.mark.parametrize("model", MODELS)
def test_both_sides_say_how_likely_each_token_of_a_text_is(
    found: dict[str, Any], model: str
) -> None:
    likelihoods = found[model]["likelihoods"]

    assert likelihoods["tokens"] == [49, 49]
    assert likelihoods["likeliest"] < 0
    reference, built = likelihoods["means"]
    assert built == pytest.approx(reference, abs=1.0)


@pytest.mark.parametrize("model", MODELS)
def test_codes_that_make_up_for_each_others_errors_are_nearer_to_the_source_than_rounded_ones(
    found: dict[str, Any], model: str
) -> None:
    errors = found[model]["errors"]

    assert 0 < errors["compensation"] < 0.8 * errors["rounding"]
    assert errors["awq-se-gptq"] < errors["rounding"]


def test_every_form_of_the_registry_has_a_builder(found: dict[str, Any]) -> None:
    assert set(found["loaded"]) == set(FORMS)


def test_mixtures_and_gemma_decode_like_torch_and_what_cannot_be_built_is_named(
    other_models: dict[str, dict[str, Any]],
) -> None:
    found = other_models["build_mixtures.py"]

    assert found["refused"] == (
        "an adapter of type PREFIX_TUNING is a soft prompt, which cannot be merged into weights"
    )
    unheard_of = str(found["not_exported"])
    assert unheard_of.startswith("optimum-intel cannot export a model of type unheard-of: ")
    assert "\n" not in unheard_of
    assert len(found["built"]) == 5
    for build in found["built"].values():
        # Experts too are 8-bit, whether all are multiplied with or some are chosen.
        assert build["built"] < 0.65 * build["base"], found
        # The prompt, and five tokens after it one by one.
        assert build["steps"] == 6
        assert build["off"] < 0.01 * build["spread"], found


def test_builds_look_back_as_far_as_their_model_and_the_goldens_would_notice_more(
    other_models: dict[str, dict[str, Any]],
) -> None:
    found = other_models["build_windows.py"]

    for name in ("mistral", "gemma3"):
        build = found[name]
        assert isinstance(build, dict)
        assert build["steps"] == 6
        assert min(build["prompt"], build["longest_golden"]) > 160
        assert build["off"] < 0.01 * build["spread"], found
        assert build["blind"] > 0.05 * build["spread"], found
