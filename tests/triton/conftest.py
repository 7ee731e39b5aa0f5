"""A tiny model's build and a server to run it on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from modelmill_testkit.models import make_tiny_llama, make_tiny_openvino
from modelmill_tokenization.chat_tokenizer import ChatTokenizer

from tests.triton.running import PYTHON, RunningTriton, running_triton


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def build(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_openvino(llama, tmp_path_factory.mktemp("openvino"))


@pytest.fixture(scope="session")
def end_tokens(llama: Path) -> frozenset[int]:
    return ChatTokenizer.load(llama).eos_ids


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    if not PYTHON.exists():
        pytest.fail("no environment with Triton: run `make triton-test`")
    with running_triton(tmp_path_factory.mktemp("triton") / "log") as triton:
        yield triton
