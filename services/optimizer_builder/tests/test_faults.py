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


def test_a_merge_differs_from_base_and_adapter_by_rounding_alone(faults: dict[str, Any]) -> None:
    assert faults["merged"]["verdict"] == ["fine", ""]
    assert faults["merged"]["likeness"]["largest_share"] > 0


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
