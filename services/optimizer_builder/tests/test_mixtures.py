"""Builds of models that the exporter was not tried with decode like torch, or are refused."""

from typing import Any

import pytest

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


def test_deepseek_and_gemma_decode_like_torch_and_what_cannot_be_built_is_named(
    other_models: dict[str, dict[str, Any]],
) -> None:
    found = other_models["build_mixtures.py"]

    assert found["refused"] == (
        "an adapter of type PREFIX_TUNING is a soft prompt, which cannot be merged into weights"
    )
    unheard_of = str(found["not_exported"])
    assert unheard_of.startswith("optimum-intel cannot export a model of type unheard-of: ")
    assert "\n" not in unheard_of
    for name in ("deepseek", "gemma"):
        build = found[name]
        assert isinstance(build, dict)
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
