"""Exports a merged model to ONNX with float32 weights: reference and input of every ONNX form.

The model builder of ONNX Runtime GenAI writes the graph that its engine runs: attention, rotary
embedding and cache are single operators.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import onnx
import onnxruntime_genai
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from modelmill_optimizer_builder.domain.build_plan import NotExportableError

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
ENGINE_CONFIG = "genai_config.json"
EMBEDDING = "/model/embed_tokens/Gather"
OPTIONS = (
    # For embeddings of texts.
    "include_hidden_states=true",
    # A cache of all positions can go back to any of them, which scores of several choices need.
    "windowed_kv_cache=false",
)
PLACEHOLDER = "<unused>"
REASON_CHARACTERS = 300


def export_fp32(folder: Path, target: Path, end_ids: frozenset[int]) -> None:
    """Write `model.onnx`, `model.onnx.data` and `genai_config.json`.

    Args:
        folder: The merged model as safetensors; it gets the files of a tokenizer that does nothing.
        end_ids: Tokens that end an answer.

    Raises:
        NotExportableError: The builder cannot write this architecture.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write_placeholder_tokenizer(folder)
    builder = _import_builder()
    try:
        with _silenced():
            options = builder.parse_extra_options(
                None, str(folder), str(target), "fp32", "cpu", str(target / "cache"), [*OPTIONS]
            )
            builder.create_model(
                None, str(folder), str(target), "fp32", "cpu", str(target / "cache"), **options
            )
    except (MemoryError, OSError):
        raise  # says nothing of the architecture
    except Exception as error:  # the builder's errors have no class of their own
        said = str(error).replace(str(folder), "given")
        reason = " ".join(said.split())[:REASON_CHARACTERS] or type(error).__name__
        raise NotExportableError(
            f"ONNX Runtime GenAI cannot export a model of type {config.get('model_type')}: {reason}"
        ) from error
    check_tying(target / MODEL_FILE, is_tied=bool(config.get("tie_word_embeddings")))
    _keep_only(target, (MODEL_FILE, WEIGHTS_FILE, ENGINE_CONFIG))
    _set_end_ids(target / ENGINE_CONFIG, end_ids)


def check_tying(path: Path, *, is_tied: bool) -> None:
    """Reject a graph whose embedding is the output projection's against config.json, or is not.

    Raises:
        NotExportableError: It is; the message says which.
    """
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {constant.name for constant in graph.initializer}
    [embedding] = [node for node in graph.node if node.name == EMBEDDING]
    if (embedding.input[0] not in constants) != is_tied:
        exported, wanted = ("untied", "tied") if is_tied else ("tied", "untied")
        raise NotExportableError(
            f"the exported embedding and output projection are {exported}, in config.json {wanted}"
        )


def _import_builder() -> Any:
    """The model builder, whose modules import each other by names such as `builders`."""
    folder = str(Path(onnxruntime_genai.__file__).parent / "models")
    sys.path.insert(0, folder)  # before modules of others that have these names
    try:
        return import_module("onnxruntime_genai.models.builder")
    finally:
        sys.path.remove(folder)


def _write_placeholder_tokenizer(folder: Path) -> None:
    """Give the builder a tokenizer to read that is not the model's.

    It uses none, but loads one with its libraries, in this process. The model's own is foreign data
    that is only read in bounded processes; its files are copied instead.
    """
    Tokenizer(WordLevel({PLACEHOLDER: 0}, unk_token=PLACEHOLDER)).save(
        str(folder / "tokenizer.json")
    )
    config = {"backend": "tokenizers", "tokenizer_class": "TokenizersBackend"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


@contextmanager
def _silenced() -> Iterator[None]:
    """Swallow what the builder prints, which is a line and a bar per tensor."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


def _keep_only(folder: Path, names: tuple[str, ...]) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name not in names:
            path.unlink()


def _set_end_ids(path: Path, end_ids: frozenset[int]) -> None:
    """Have others who run the build with GenAI end answers where training did."""
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if end_ids:
        config["model"]["eos_token_id"] = sorted(end_ids)
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
