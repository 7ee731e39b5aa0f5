"""What engines do themselves with a model's tokenizer and chat template: neither hangs them."""

import shutil
from pathlib import Path

import pytest
from modelmill_inference.adapters.openvino import PipelineOptions
from modelmill_inference.children.openvino import open_pipeline
from modelmill_inference.children.token_grammar import Grammars
from modelmill_testkit.hostile_models import wake_in_engines

pytestmark = pytest.mark.heavy

GRAMMAR = 'root ::= "yes" | "no"'
VOCABULARY = 346


def test_openvino_renders_no_template(openvino_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(openvino_folder, tmp_path / "build")
    wake_in_engines(folder)

    pipeline = open_pipeline(PipelineOptions().load_message() | {"folder": str(folder)})

    assert not pipeline.has_non_finished_requests()


def test_transformers_reads_only_the_file_that_was_read_within_limits(
    llama_folder: Path, tmp_path: Path
) -> None:
    """`LoadVersion` has it opened by the pool of bounded processes before there is an engine."""
    shutil.copyfile(llama_folder / "tokenizer.json", tmp_path / "tokenizer.json")
    for name in ("tokenizer_config.json", "chat_template.jinja", "config.json"):
        (tmp_path / name).write_text("{")  # whoever reads it fails

    assert Grammars(tmp_path, VOCABULARY).mask(GRAMMAR, [2])
