"""A model card tells what the manifest tells, and what nobody has measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelmill_registry.model_card import CardFacts, licence_of, model_card

INTERVAL = {"mean": 0.9, "low": 0.85, "high": 0.95}
FORM = {
    "form": "openvino-int8, as served",
    "positions": 80,
    "largest_difference": 0.25,
    "largest_share": 0.05,
    "root_mean_square_share": 0.01,
    "greedy_agreement": 0.975,
}
PARITY = {
    "reference": "training, float32",
    "goldens": 8,
    "positions": 80,
    "prompt_ids": "identical",
    "forms": [FORM],
}


def card(**changes: Any) -> str:
    facts: dict[str, Any] = {
        "name": "kinds",
        "form": "adapter",
        "base_name": "smollm2",
        "licence": "apache-2.0",
        "made_from": {"base": "sha256:aa", "dataset": "sha256:bb"},
        "attributes": {"hyper_parameters": {"lora_rank": 8}, "parity": PARITY},
        "figures": {"steps": 36, "last_loss": 0.125, "accuracy_tuned": INTERVAL},
        "evaluation": {"rows": 15, "choices": [], "tuned": {"accuracy": INTERVAL}},
        "dataset": "ds-1",
        "counts": {"rows_kept": 12_345},
        "pictures": ("curves.svg",),
    }
    return model_card(CardFacts(**facts | changes))


def head(text: str) -> Mapping[str, Any]:
    """The YAML head, as Hugging Face reads it."""
    _, yaml_text, _ = text.split("---\n", 2)
    found: Mapping[str, Any] = yaml.safe_load(yaml_text)
    return found


def test_the_head_is_the_yaml_that_hugging_face_reads() -> None:
    told = head(card())

    assert told["license"] == "apache-2.0"
    assert told["base_model"] == "smollm2"
    assert told["library_name"] == "peft"
    assert told["datasets"] == ["ds-1"]
    [result] = told["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "name": "tuned", "value": 0.9}]


def test_a_build_is_of_the_tuned_model_and_names_the_base_of_both() -> None:
    text = card(form="openvino-int8")

    assert head(text)["base_model"] == "smollm2"
    assert "A build of kinds, in the form `openvino-int8`." in text


def test_lineage_data_training_evaluation_and_parity_are_told_with_their_figures() -> None:
    text = card()

    for words in (
        "| base | `sha256:aa` |",
        "| dataset | `sha256:bb` |",
        "| rows kept | 12,345 |",
        "| lora_rank | `8` |",
        "| last_loss | 0.125 |",
        "![curves.svg](curves.svg)",
        "| tuned | 90.0% | 85.0% to 95.0% |",
        "| openvino-int8, as served | 0.25 | 0.05 | 97.5% |",
    ):
        assert words in text


def test_what_was_not_measured_is_said() -> None:
    whole = card()
    bare = card(evaluation={}, attributes={}, figures={})

    unmeasured = bare.partition("## Not measured")[2]
    for words in ("no test split was scored", "parity with training", "speed and memory"):
        assert words in unmeasured
    assert "no test split was scored" not in whole
    assert "parity with training" not in whole
    assert "hostile" in whole
    assert "## Evaluation" not in bare


def test_a_base_without_a_licence_is_not_given_one() -> None:
    text = card(licence="")

    assert "license" not in head(text)
    assert "name no licence" in text


@pytest.mark.parametrize("name", ['x"\n---\nlicense: mit', "a: b # c", "<script>alert(1)</script>"])
def test_a_name_of_others_stays_a_name(name: str) -> None:
    text = card(name=name, base_name=name)

    assert head(text)["base_model"] == name
    assert head(text)["license"] == "apache-2.0"
    assert "<script>" not in text.split("---\n", 2)[2]


def test_the_same_facts_give_the_same_bytes() -> None:
    assert card() == card()


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# x", "apache-2.0"),
        ('---\nlicense: "cc-by-4.0"\n---\n', "cc-by-4.0"),
        ("# no head\nlicense: mit\n", ""),
        ("---\ntags: [a]\n---\nlicense: mit\n", ""),
    ],
)
def test_the_licence_is_what_the_bases_own_card_names(
    tmp_path: Path, text: str, licence: str
) -> None:
    (tmp_path / "README.md").write_text(text)

    assert licence_of(tmp_path) == licence


def test_a_base_without_a_card_names_no_licence(tmp_path: Path) -> None:
    assert licence_of(tmp_path) == ""


def test_evaluation_json_of_a_build_is_read_as_it_is() -> None:
    evaluation = json.loads(
        json.dumps(
            {
                "rows": 3,
                "bf16": {"accuracy": INTERVAL},
                "int8": {"accuracy": INTERVAL},
                "differences": {"int8-bf16": {"mean": -0.01, "low": -0.02, "high": 0.0}},
            }
        )
    )

    assert "| int8-bf16 | -1.0% | -2.0% to +0.0% |" in card(evaluation=evaluation)


def test_a_build_that_loses_more_than_allowed_says_so_and_how_it_was_made() -> None:
    method = {
        "form": "openvino-int4",
        "group_size": 32,
        "calibration": {"digest": "sha256:cc"},
        "candidates": [{"name": "rounding", "general_perplexity_loss": [0.3, 0.2, 0.4]}],
    }
    figures = {"accuracy_loss": 0.05, "accuracy_loss_allowed": 0.02}
    text = card(form="openvino-int4", attributes={"method": method}, figures=figures)

    assert "## Loses more than allowed" in text
    assert "accuracy loss 5.0%, allowed 2.0%" in text
    assert "| group size | 32 |" in text
    assert "| calibration: digest | sha256:cc |" in text
    assert "| name | general perplexity loss |" in text
    assert "| rounding | 0.3 (0.2 to 0.4) |" in text
    within = card(attributes={}, figures=figures | {"accuracy_loss": 0.02})
    assert "## Loses more than allowed" not in within
    assert "## Method" not in within
