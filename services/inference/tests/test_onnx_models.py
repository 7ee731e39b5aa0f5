"""The onnx engine computes what transformers does, in its own runtime."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from modelmill_inference.adapters import onnx
from modelmill_inference.adapters.onnx import OnnxKind, OnnxOptions
from modelmill_inference.children import onnx_model
from modelmill_inference.children.onnx import open_runner

from .reference_bench import (
    PLAIN,
    PROMPT,
    answers,
    check_scores_and_vectors,
    generated,
    in_transformers,
    one_thread,
)

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def opened(folder: Path, cache_bytes: int = 1 << 30) -> Any:
    return open_runner(
        {"folder": str(folder), "adapter": None, "threads": 1, "cache_bytes": cache_bytes}
    )


def test_it_says_what_generate_says(onnx_folder: Path, llama_folder: Path) -> None:
    reference, runner = in_transformers(llama_folder), opened(onnx_folder)

    for penalty in (1.0, 1.4):
        said = answers(runner, {"repetition_penalty": penalty})[1]
        assert said == generated(reference, do_sample=False, repetition_penalty=penalty)


def test_prompts_in_pieces_say_the_same(onnx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answers(opened(onnx_folder), {})[1]
    monkeypatch.setattr(onnx_model, "PIECE_TOKENS", 7)

    assert answers(opened(onnx_folder), {})[1] == whole


def test_a_token_that_pads_is_read_like_any_other(onnx_folder: Path, llama_folder: Path) -> None:
    """GenAI looks for the last token that is no padding, and here the end of a turn is both."""
    reference, runner = in_transformers(llama_folder), opened(onnx_folder)
    prompt = [1, *PROMPT, 2, 2]
    with torch.no_grad():
        expected = int(reference(torch.tensor([prompt])).logits[0, -1].argmax())

    assert answers(runner, {"prompt": prompt, "max_new_tokens": 1})[1] == [expected]


def test_scores_and_vectors_are_those_of_the_whole_text(
    onnx_folder: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "PIECE_TOKENS", 7)
    runner, reference = opened(onnx_folder), in_transformers(llama_folder)
    check_scores_and_vectors(runner, reference)


def test_a_request_that_outgrows_the_cache_is_told_and_others_wait(onnx_folder: Path) -> None:
    of_one_token = 2 * 2 * 2 * 16 * 4
    alike = [{"id": number, "prompt": [number + 3] * 30} for number in range(3)]
    alone = opened(onnx_folder)
    expected = {add["id"]: answers(alone, add)[add["id"]] for add in alike}
    runner = opened(onnx_folder, cache_bytes=60 * of_one_token)

    assert answers(runner, *alike) == expected
    runner.add(PLAIN | {"id": 8, "prompt": [3] * 61})
    assert [(update.number, update.end) for update in runner.step()] == [(8, "no_room")]


def test_an_adapter_is_refused_with_what_to_do(onnx_folder: Path) -> None:
    assert not OnnxKind(OnnxOptions()).can_adapt("onnx-int8")
    with pytest.raises(ValueError, match="build the adapter itself"):
        open_runner({"folder": str(onnx_folder), "adapter": "x", "threads": 1, "cache_bytes": 1})


def test_a_build_whose_logits_are_not_numbers_is_refused(onnx_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(onnx_folder, tmp_path / "build")
    weights = folder / "model.onnx.data"
    weights.write_bytes(b"\xff" * weights.stat().st_size)

    with pytest.raises(ValueError, match="not numbers"):
        opened(folder)


def test_the_runtime_is_told_to_report_nothing_before_it_is_loaded() -> None:
    program = (
        "import os, sys\n"
        "import modelmill_inference.children.onnx_model\n"
        "assert 'onnxruntime_genai' in sys.modules\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORT_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "1", done.stderr


def test_constraints_need_a_library_that_is_not_the_engines(
    onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "GRAMMAR_NEEDS", ("no_such_library",))
    engine = OnnxKind(OnnxOptions()).engine_for(onnx_folder, frozenset({2}))

    assert not engine.abilities.grammar
    assert engine.abilities.score


def test_the_child_imports_no_torch_before_an_answer_is_constrained(onnx_folder: Path) -> None:
    load = json.dumps(
        {"folder": str(onnx_folder), "adapter": None, "threads": 1, "cache_bytes": 1 << 30}
    )
    program = (
        "import json, sys\n"
        "from modelmill_inference.children.onnx import open_runner\n"
        f"open_runner(json.loads({load!r}))\n"
        "print([name for name in ('torch', 'transformers', 'xgrammar') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "[]", done.stderr
