"""A tiny real model and its OpenVINO build, made once."""

from pathlib import Path

import pytest
from registry.store import FolderStore
from testkit.models import make_tiny_llama, make_tiny_openvino
from tokenization import ChatTokenizer


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def openvino_folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_openvino(llama_folder, tmp_path_factory.mktemp("openvino"))


@pytest.fixture(scope="session")
def tokenizer(llama_folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(llama_folder)


@pytest.fixture(scope="session")
def artifact_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def digest(openvino_folder: Path, artifact_root: Path) -> str:
    """Digest of the build, committed to the store."""
    store = FolderStore(artifact_root)
    return store.commit(openvino_folder, kind="model", form="openvino-int8").digest
