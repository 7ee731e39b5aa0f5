"""GGUF files as model folders, by the process that `mill models import` starts."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from modelmill_registry.model_folder import check_model_folder
from modelmill_testkit.gguf_models import make_tiny_gguf
from modelmill_trainer.convert_gguf import convert

pytestmark = [pytest.mark.heavy, pytest.mark.tier("test")]


def converted(file: Path, folder: Path) -> str:
    """What the process finds wrong with a file; it writes the folder."""
    folder.mkdir()
    command = [sys.executable, "-m", "modelmill_trainer.convert_gguf", str(file), str(folder)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return str(json.loads(ended.stdout.splitlines()[-1])["problem"])


def convert_here(file: Path, folder: Path) -> str:
    """The same in this process, which has transformers already."""
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(file, folder)


def test_a_file_that_transformers_reads_becomes_a_folder_to_import(tmp_path: Path) -> None:
    file = make_tiny_gguf(tmp_path / "tiny.gguf")

    assert converted(file, tmp_path / "made") == ""

    checked = check_model_folder(tmp_path / "made")
    assert checked.architecture == "Qwen2ForCausalLM"
    assert checked.context_tokens == 256
    assert checked.warnings == ()


def test_a_file_whose_tokenizer_loses_a_text_is_refused_with_the_text(tmp_path: Path) -> None:
    file = make_tiny_gguf(tmp_path / "tiny.gguf", architecture="llama")

    problem = convert_here(file, tmp_path / "made")

    assert "turns ' leading' into 'leading'" in problem
    assert not list((tmp_path / "made").glob("*.safetensors"))


def test_what_is_no_gguf_file_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 4096)

    assert convert_here(file, tmp_path / "made").startswith(
        "transformers does not read its tokenizer"
    )
