"""Pruned models: their shapes, what they answer, and what is refused before anything is cut."""

from typing import Any

import numpy as np
import pytest
from modelmill_optimizer_builder.domain.pruning import (
    MODEL_TYPES,
    Importance,
    ModelShape,
    NotPrunableError,
    Pruning,
    choose,
    planned_shape,
    pruning_errors,
    pruning_refusal,
)

from .builders import run_script

SMOLLM2 = {
    **{"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30},
    **{"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536},
}
TYPES = ("llama", "qwen2", "qwen3", "gemma3_text", "smollm3")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_script("build_pruned.py", tmp_path_factory.mktemp("pruned"))


@pytest.mark.heavy
@pytest.mark.timeout(400)
@pytest.mark.parametrize("model_type", TYPES)
def test_a_pruned_model_loads_as_any_other_and_answers_as_the_silenced_one(
    found: dict[str, Any], model_type: str
) -> None:
    made = found[model_type]
    config = made["config"]

    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, 2)
    assert (config["intermediate_size"], config["num_hidden_layers"]) == (128, 3)
    assert all(
        len(config[name]) == 3 for name in ("layer_types", "no_rope_layers") if config.get(name)
    )
    assert made["silenced"]["largest_share"] < 0.001
    assert made["method"]["kept"]["layers"][0] == 0
    assert made["method"]["kept"]["layers"][-1] == 4
    assert made["method"]["parameters"] < made["method"]["parameters_before"]
    assert made["share"] < 0.6
    assert (made["goldens"], made["answers"]) == (5, 3)


@pytest.mark.heavy
def test_layers_alone_go_and_a_cut_of_other_heads_than_are_silent_is_refused(
    found: dict[str, Any],
) -> None:
    assert found["layers"]["method"]["kept"] == {"layers": [0, 4], "heads": 6, "mlp": 192}
    assert found["wrongly"] == "LOGITS_DIFFER"


@pytest.mark.parametrize(
    ("pruning", "sizes"),
    [
        (Pruning(heads=1 / 3), (30, 6, 2, 1536)),
        (Pruning(heads=0.6), (30, 3, 1, 1536)),
        (Pruning(mlp=0.25), (30, 9, 3, 1152)),
        (Pruning(layers=6), (24, 9, 3, 1536)),
        (Pruning(heads=1 / 3, mlp=0.25, layers=4), (26, 6, 2, 1152)),
    ],
)
def test_a_plan_is_of_whole_groups_columns_in_steps_and_layers(
    pruning: Pruning, sizes: tuple[int, int, int, int]
) -> None:
    planned = planned_shape(SMOLLM2, pruning)

    assert (planned.layers, planned.heads, planned.groups, planned.columns) == sizes
    assert planned.head_dim == 64


@pytest.mark.parametrize(
    ("config", "pruning", "said"),
    [
        ({}, Pruning(heads=0.1), "leaves 9 heads; .*Heads that could stay: 3, 6"),
        ({}, Pruning(heads=0.99), "leaves 0 heads"),
        ({"num_key_value_heads": 1}, Pruning(heads=0.5), "No count could stay"),
        ({"num_key_value_heads": 9}, Pruning(heads=0.2), "must divide the hidden size 576"),
        ({}, Pruning(mlp=0.001), "in multiples of 32"),
        ({}, Pruning(layers=29), "of 30 layers at most 28 can go"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_what_could(
    config: dict[str, int], pruning: Pruning, said: str
) -> None:
    with pytest.raises(NotPrunableError, match=said):
        planned_shape(SMOLLM2 | config, pruning)


def test_heads_need_not_divide_the_hidden_size_where_the_type_does_not_ask_for_it() -> None:
    config = SMOLLM2 | {"model_type": "qwen3", "num_key_value_heads": 9, "head_dim": 64}

    assert planned_shape(config, Pruning(heads=0.2)).heads == 7


@pytest.mark.parametrize(
    ("pruning", "is_pruned_form", "errors"),
    [
        (None, False, []),
        (None, True, ["target_form pruned needs pruning: heads, mlp or layers"]),
        (Pruning(layers=1), False, ["pruning has no meaning without target_form pruned"]),
        (Pruning(), True, ["pruning takes nothing away. Give heads, mlp or layers"]),
        (Pruning(heads=1), True, ["pruning.heads must be at least 0 and below 1, got 1"]),
        (Pruning(heads=0.5), True, []),
    ],
)
def test_an_order_says_what_is_cut(
    pruning: Pruning | None, is_pruned_form: bool, errors: list[str]
) -> None:
    assert pruning_errors(pruning, is_pruned_form=is_pruned_form) == errors


def test_types_with_other_parts_are_refused_by_name() -> None:
    assert "Types that are pruned: llama" in pruning_refusal({"model_type": "deepseek_v3"})
    assert not any(pruning_refusal({"model_type": each}) for each in MODEL_TYPES)


def test_the_least_important_go_and_the_first_and_last_layer_stay() -> None:
    importance = Importance(
        layers=np.array([0.0, 3.0, 1.0, 0.0]),
        groups=np.array([[1.0, 2.0, 3.0]] * 3 + [[3.0, 2.0, 1.0]]),
        columns=np.ones((4, 64)),
    )
    kept = choose(importance, ModelShape(96, 3, 2, 1, 16, 32))

    assert kept.layers == (0, 1, 3)
    assert kept.groups == ((1, 2), (1, 2), (0, 1))
    assert kept.columns == (tuple(range(32)),) * 3
