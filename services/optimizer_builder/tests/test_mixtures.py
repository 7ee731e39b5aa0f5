"""Builds of models with latent attention and experts decode like torch."""

import json
from pathlib import Path

import pytest

from .builders import run_script

pytestmark = pytest.mark.heavy


def test_deepseek_export_decodes_like_torch_and_a_prefix_is_not_merged(
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
    for version in ("3",):
        build = found[version]
        assert isinstance(build, dict)
        # The prompt, and five tokens after it one by one.
        assert build["steps"] == 6
        assert build["off"] < 0.01 * build["spread"], found
