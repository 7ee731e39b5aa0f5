"""A build that is not the model it was made from is refused under the name of its fault."""

from pathlib import Path
from typing import Any

import pytest

from .builders import run_script
from .conftest import Story

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def faults(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path, story: Story
) -> dict[str, Any]:
    """What is said of the story's build, spoilt in one way after the other."""
    scratch = tmp_path_factory.mktemp("faults")
    return run_script("plant_faults.py", tiny_base, tiny_adapter, story.folder, scratch)


def test_the_build_as_it_was_made_passes(faults: dict[str, Any]) -> None:
    assert faults["honest build"] == ["fine", ""]


@pytest.mark.parametrize("planted", ["with_other_template", "with_template_of_other_tools"])
def test_another_chat_template_is_a_template_mismatch(faults: dict[str, Any], planted: str) -> None:
    code, message = faults[planted]

    assert code == "TEMPLATE_MISMATCH"
    assert "openvino-int8" in message


@pytest.mark.parametrize(
    ("planted", "reader"),
    [
        ("without_end_of_turn", "openvino-int8 reads"),
        ("without_it_in_the_engine", "the engine's tokenizer of openvino-int8 reads"),
    ],
)
def test_a_special_token_in_pieces_is_missing(
    faults: dict[str, Any], planted: str, reader: str
) -> None:
    code, message = faults[planted]

    assert code == "SPECIAL_TOKEN_MISSING"
    assert message.startswith(f"{reader} the special token '<|im_end|>'")


def test_other_weights_give_other_logits(faults: dict[str, Any]) -> None:
    code, _ = faults["other weights"]

    assert code in ("LOGITS_DIFFER", "GREEDY_DISAGREES")


def test_a_merge_is_the_trained_model_before_rounding_and_near_it_after(
    faults: dict[str, Any],
) -> None:
    exact, rounded = faults["merged"]["forms"]

    assert faults["merged"]["reference"] == "training, float32"
    assert exact["form"] == "merged, float32"
    assert exact["largest_share"] < 0.0001
    assert rounded["form"] == "merged, bfloat16 weights"
    assert exact["largest_share"] < rounded["largest_share"] < 1


def test_an_adapter_that_is_added_at_another_scale_gives_other_logits(
    faults: dict[str, Any],
) -> None:
    code, message = faults["other scale"]

    assert code == "LOGITS_DIFFER"
    assert message.startswith("the logits of merged, float32 differ")


def test_a_merge_in_float32_passes(faults: dict[str, Any]) -> None:
    layers, share = faults["honest merge"]

    assert layers == 6
    assert share < 0.0001


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_merge_in_another_format_is_refused_with_the_format(
    faults: dict[str, Any], dtype: str
) -> None:
    code, message = faults[f"merge in torch.{dtype}"]

    assert code == "MERGE_DTYPE"
    assert f"a merge in {dtype} gives them" in message
