"""A model as a plain folder that others load: transformers, PEFT, vLLM, or the form's runtime."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelmill_hub.address import HubAddress
from modelmill_hub.hubs import open_hub
from modelmill_registry.manifest import origin_of
from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore, open_store
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_cli.provenance.key import ProvenanceKey
from modelmill_cli.provenance.statements import ExportSigner
from modelmill_cli.state_folder import StateFolder, owner_only

BASE = "base"
"""Folder of the base model beside an adapter's files, and what the adapter calls it."""
OURS = ("parity",)
"""Evidence of how Modelmill checks the model, which no other program reads."""
ADAPTER_CONFIG = "adapter_config.json"
USAGE = {
    "adapter": """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{folder}/base")
model = PeftModel.from_pretrained(base, "{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
""",
    "safetensors": """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
""",
    "openvino": """\
from openvino_genai import LLMPipeline

pipeline = LLMPipeline("{folder}", "CPU")
""",
    "onnx": """\
import onnxruntime_genai

model = onnxruntime_genai.Model("{folder}")
tokenizer = onnxruntime_genai.Tokenizer(model)
""",
    "compressed-tensors": """\
vllm serve "{folder}"
""",
    "tensorrt": """\
cd "{folder}" && python build.py
trtexec --loadEngine=model.engine
""",
    "gguf": """\
ollama create NAME -f "{folder}/Modelfile" && ollama run NAME
llama-server -m "{folder}/model.gguf"
""",
}
"""How a form is loaded by what is not Modelmill, by how its name begins."""


def export_model(
    store: ArtifactStore,
    digest: str,
    target: Path,
    *,
    base_digest: str = "",
    finish: Callable[[Path], None] | None = None,
) -> None:
    """Copy a version's files, and of an adapter its base, into a new folder; whole or not at all.

    Args:
        base_digest: Of the base of an adapter; empty for other forms.
        finish: Called with the folder before it gets its name.

    Raises:
        PreconditionError: The folder is there already.
        NotFoundError: The artifact is not on this machine.
    """
    if target.exists():
        raise PreconditionError(f"{target} is there already. Give another folder")
    partial = target.with_name(f"{target.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _copy(store, digest, partial)
        config = partial / ADAPTER_CONFIG
        if base_digest and config.is_file():
            _copy(store, base_digest, partial / BASE)
            named = json.loads(config.read_bytes()) | {"base_model_name_or_path": BASE}
            config.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
        if finish is not None:
            finish(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def export_version(
    state: StateFolder,
    model: Mapping[str, Any],
    folder: Path | None,
    *,
    base_digest: str,
    push: str,
) -> dict[str, Any]:
    """Export a version to a folder, to a hub, or to both; what was done, for programs.

    Args:
        model: As the gateway has it.
        folder: None for a hub alone.
        push: Address of a repository; empty for none.

    Raises:
        InvalidInputError: It is no address of a model.
        DomainError: The hub refuses it; a folder that was asked for stays.
    """
    address = _push_address(push) if push else None
    store = open_store(state.read_runtime().artifact_root, state.artifact_cache)
    sign = export_signer(state, store, model)
    if folder is not None:
        export_model(store, model["digest"], folder, base_digest=base_digest, finish=sign)
    done = {
        **{"id": model["id"], "form": model["form"], "path": folder and str(folder)},
        "signed_by": sign and sign.key,
    }
    if address is None:
        assert folder is not None
        return {**done, "bytes": _size_of(folder), "pushed_to": None}
    with owner_only(), TemporaryDirectory(prefix="push-", dir=state.path) as place:
        pushed = Path(place) / "model"
        _export_for_hub(store, model["digest"], pushed, base_digest, sign)
        commit = open_hub(address).push(pushed, address, f"Add {model['id']} of Modelmill")
        size = _size_of(folder or pushed)
    return {**done, "bytes": size, "pushed_to": str(address.at(commit))}


def _export_for_hub(
    store: ArtifactStore,
    digest: str,
    pushed: Path,
    base_digest: str,
    sign: Callable[[Path], None] | None,
) -> None:
    """Export a version; an adapter has its base beside it, unless the hub has that."""
    base = base_origin(store, base_digest)

    def finish(folder: Path) -> None:
        if base:
            _name_base(folder, base)
        if sign is not None:
            sign(folder)

    export_model(store, digest, pushed, base_digest="" if base else base_digest, finish=finish)


def export_signer(
    state: StateFolder, store: ArtifactStore, model: Mapping[str, Any]
) -> ExportSigner | None:
    """What signs an export with the key of this installation; None where it has none."""
    signer = ProvenanceKey(state.keys).signer()
    return ExportSigner(signer, store, model) if signer else None


def base_origin(store: ArtifactStore, digest: str) -> dict[str, str]:
    """Repository and revision of an adapter's base on Hugging Face's hub; empty for others."""
    origin = origin_of(store, digest) if digest else {}
    if not origin.get("source", "").startswith("hf://"):
        return {}
    return {
        "base_model_name_or_path": origin["source"].removeprefix("hf://"),
        "revision": origin["revision"],
    }


def _push_address(text: str) -> HubAddress:
    address = HubAddress.parse(text)
    if address.kind != "model" or address.path:
        raise InvalidInputError(f"{text} is no repository of a model. Give hf://org/name")
    return address


def _name_base(folder: Path, base: Mapping[str, str]) -> None:
    config = folder / ADAPTER_CONFIG
    named = json.loads(config.read_bytes()) | dict(base)
    config.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _copy(store: ArtifactStore, digest: str, target: Path) -> None:
    folder = store.materialise(digest)
    with in_use(folder):
        # Contents alone: those of the store are read-only.
        shutil.copytree(
            folder, target, ignore=shutil.ignore_patterns(*OURS), copy_function=shutil.copyfile
        )
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def usage_of(form: str, folder: Path) -> str:
    """How to load the folder; empty for forms of which no plain way is known."""
    found = next((text for name, text in USAGE.items() if form.startswith(name)), "")
    return found.format(folder=folder)
