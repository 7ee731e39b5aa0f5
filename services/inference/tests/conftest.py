"""A tiny real model and its OpenVINO build, made once."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modelmill_registry.store import FolderStore
from modelmill_testkit.models import (
    kept_tiny_onnx,
    kept_tiny_openvino,
    make_tiny_deepseek,
    make_tiny_llama,
)
from modelmill_tokenization.chat_tokenizer import ChatTokenizer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from .wide_heads import with_wide_heads


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def deepseek_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_deepseek(tmp_path_factory.mktemp("deepseek"))


@pytest.fixture(scope="session")
def wide_llama_folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_wide_heads(llama_folder, tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="session")
def openvino_folder(llama_folder: Path, pytestconfig: pytest.Config) -> Path:
    return kept_tiny_openvino(pytestconfig.rootpath, llama_folder)


@pytest.fixture(scope="session")
def openvino_int4_folder(llama_folder: Path, pytestconfig: pytest.Config) -> Path:
    return kept_tiny_openvino(pytestconfig.rootpath, llama_folder, bits=4)


@pytest.fixture(scope="session")
def lookup_folder(openvino_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same build, whose requests draft by prompt lookup."""
    folder = tmp_path_factory.mktemp("lookup") / "build"
    shutil.copytree(openvino_folder, folder)
    said = {"prompt_lookup_num_tokens": 4}
    (folder / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def onnx_folder(llama_folder: Path, pytestconfig: pytest.Config) -> Path:
    return kept_tiny_onnx(pytestconfig.rootpath, llama_folder)


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


@pytest.fixture
def spans_of() -> Iterator[Callable[[int], dict[str, ReadableSpan]]]:
    """Ended spans of a trace by name; without those of clients, who share the server's name."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider, exporter = trace.get_tracer_provider(), InMemorySpanExporter()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def of(trace_id: int) -> dict[str, ReadableSpan]:
        ended = exporter.get_finished_spans()
        return {
            span.name: span
            for span in ended
            if span.context.trace_id == trace_id and span.kind is not SpanKind.CLIENT
        }

    yield of
    exporter.shutdown()
