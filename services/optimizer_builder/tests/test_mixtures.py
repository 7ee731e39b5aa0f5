"""Builds of models that the exporter was not tried with decode like torch, or are refused."""

import json
from pathlib import Path

import pytest

from .builders import run_script

pytestmark = pytest.mark.heavy


def test_deepseek_and_gemma_decode_like_torch_and_what_cannot_be_built_is_named(
    tmp_path: Path, tiny_base: Path, tiny_adapter: Path
) -> None:
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    for path in tiny_adapter.iterdir():
        (prefix / path.name).write_bytes(path.read_bytes())
    (prefix / "adapter_config.json").write_text(json.dumps({"peft_type": "PREFIX_TUNING"}))

    found = run_script("build_mixtures.py", tmp_path, tiny_base, prefix)

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
    tmp_path: Path, tiny_base: Path
) -> None:
    found = run_script("build_windows.py", tmp_path, tiny_base)

    for name in ("mistral", "gemma3"):
        build = found[name]
        assert isinstance(build, dict)
        assert build["steps"] == 6
        assert min(build["prompt"], build["longest_golden"]) > 160
        assert build["off"] < 0.01 * build["spread"], found
        assert build["blind"] > 0.05 * build["spread"], found
