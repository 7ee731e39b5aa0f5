"""What a folder of an ONNX build may say before ONNX Runtime GenAI reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_inference.children.onnx_folder import (
    MODEL_FILE,
    SETTINGS,
    WEIGHTS_FILE,
    check_onnx_folder,
)


def settings() -> dict[str, Any]:
    return {
        "model": {
            "context_length": 512,
            "vocab_size": 384,
            "decoder": {
                "filename": MODEL_FILE,
                "head_size": 16,
                "num_hidden_layers": 2,
                "num_key_value_heads": 3,
                "session_options": {"log_id": "x", "provider_options": []},
            },
        },
        "search": {"do_sample": False},
    }


def folder_with(root: Path, found: object) -> Path:
    for name in (MODEL_FILE, WEIGHTS_FILE):
        (root / name).write_bytes(b"")
    (root / SETTINGS).write_text(json.dumps(found))
    return root


def test_the_sizes_of_a_build_are_read(tmp_path: Path) -> None:
    sizes = check_onnx_folder(folder_with(tmp_path, settings()))

    assert sizes == (512, 384, 2 * 4 * 16 * 2 * 3)


DECODER = "decoder"
CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "library": lambda said: said["model"][DECODER]["session_options"].update(
        custom_ops_library="/tmp/evil.so"
    ),
    "provider": lambda said: said["model"][DECODER]["session_options"].update(
        provider_options=[{"cuda": {}}]
    ),
    "file": lambda said: said["model"][DECODER].update(filename="../other.onnx"),
    "pipeline": lambda said: said["model"][DECODER].update(pipeline=[{"x": {}}]),
    "engine": lambda said: said.update(engine={"dynamic_batching": {}}),
    "heads": lambda said: said["model"][DECODER].update(num_key_value_heads=0),
    "vocabulary": lambda said: said["model"].update(vocab_size="many"),
    "decoder": lambda said: said["model"].update(decoder=[]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_settings_that_name_more_than_a_model_are_refused(tmp_path: Path, change: str) -> None:
    said = settings()
    CHANGES[change](said)

    with pytest.raises(
        ValueError, match=SETTINGS if change not in ("engine", "library") else "has"
    ):
        check_onnx_folder(folder_with(tmp_path, said))


@pytest.mark.parametrize("missing", [MODEL_FILE, WEIGHTS_FILE, SETTINGS])
def test_a_folder_without_a_file_is_refused(tmp_path: Path, missing: str) -> None:
    (folder_with(tmp_path, settings()) / missing).unlink()

    with pytest.raises(ValueError, match=missing):
        check_onnx_folder(tmp_path)
