"""PEFT adapters that were trained elsewhere."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelmill.registry.v1.model_events_pb2 import ModelReady
from modelmill_registry.adapter_folder import (
    AdapterBase,
    base_named_by,
    check_adapter_folder,
    import_adapter,
    is_adapter,
    tensor_shapes,
)
from modelmill_registry.manifest import origin_of
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.lora_adapters import make_lora_adapter
from modelmill_testkit.models import make_tiny_llama
from modelmill_testkit.tiny_weights import write_bf16


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return make_lora_adapter(tmp_path / "adapter", base)


def configure(folder: Path, change: Mapping[str, Any]) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def reshape(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Weights of other names or shapes; what they hold does not matter."""
    file = folder / "adapter_model.safetensors"
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(file).items()}
    change(tensors)
    write_bf16(file, tensors)


def errors_of(folder: Path, base: Path) -> str:
    with pytest.raises(InvalidInputError) as refused:
        check_adapter_folder(folder, base)
    return "\n".join(refused.value.errors)


def test_an_adapter_fits_the_base_that_it_was_made_for(adapter: Path, base: Path) -> None:
    assert check_adapter_folder(adapter, base)["r"] == 4
    assert is_adapter(adapter)
    assert not is_adapter(base)
    assert base_named_by(adapter) == "org/tiny"


def test_an_adapter_of_another_shape_names_matrix_and_remedy(adapter: Path, base: Path) -> None:
    def widen(tensors: dict[str, Any]) -> None:
        name = next(each for each in tensors if each.endswith("lora_A.weight"))
        tensors[name] = np.zeros((4, 7), np.float32)

    reshape(adapter, widen)
    said = errors_of(adapter, base)
    assert "of [4, 7] does not fit" in said
    assert "--base" in said


def test_an_adapter_of_layers_that_the_base_lacks_is_refused(adapter: Path, base: Path) -> None:
    def rename(tensors: dict[str, Any]) -> None:
        for name in [*tensors]:
            tensors[name.replace("layers.0", "layers.77")] = tensors.pop(name)

    reshape(adapter, rename)
    assert "the base has no layer of" in errors_of(adapter, base)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"use_dora": True}, "Merge it into its base"),
        ({"modules_to_save": ["lm_head"]}, "Merge it into its base"),
        ({"r": 0}, "no rank"),
        ({"auto_mapping": {"base_model_class": "evil"}}, "makes a loader run code"),
    ],
)
def test_what_engines_do_not_load_is_refused(
    adapter: Path, base: Path, change: Mapping[str, Any], words: str
) -> None:
    configure(adapter, change)
    assert words in errors_of(adapter, base)


def test_pickles_and_missing_files_are_refused(adapter: Path, base: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    said = errors_of(adapter, base)
    assert "adapter_model.bin" in said
    assert "there is no adapter_model.safetensors" in said


class Published:
    def __init__(self) -> None:
        self.ready: list[ModelReady] = []

    async def publish(self, _: object, body: Any, **__: object) -> None:
        self.ready.append(body)


async def test_an_import_is_an_adapter_of_its_base_with_the_bases_tokenizer(
    adapter: Path, base: Path, tmp_path: Path
) -> None:
    store, bus = FolderStore(tmp_path / "artifacts"), Published()
    held = store.commit(base, kind="model", form="safetensors")
    over = AdapterBase("mv-base", "mv-base", held.digest, 128)
    origin = {"source": "hf://org/lora", "revision": "a" * 40}

    async def bring() -> ModelReady:
        return await import_adapter(
            *(bus, store, adapter, over),
            tenant="demo",
            name="lora",
            try_out=lambda _: None,
            origin=origin,
        )

    ready = await bring()

    assert (await bring()).version_id == ready.version_id
    assert (ready.form, ready.method) == ("adapter", "lora")
    assert (ready.parent_version_id, ready.base_version_id) == ("mv-base", "mv-base")
    manifest = store.manifest(ready.digest)
    assert manifest.made_from == {"base": held.digest}
    assert manifest.attributes["hyper_parameters"]["lora_rank"] == 4
    assert origin_of(store, ready.digest) == origin
    folder = store.materialise(ready.digest)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        "mv-base"
    )
    assert (folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    assert (folder / "chat_template.jinja").is_file()
