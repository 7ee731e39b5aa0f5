"""A model as a plain folder that others load: transformers, PEFT, vLLM, or the form's runtime."""

import json
import shutil
from pathlib import Path

from modelmill_registry.materialised import in_use
from modelmill_registry.store import ArtifactStore
from modelmill_service_kit.errors import PreconditionError

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
}
"""How a form is loaded by what is not Modelmill, by how its name begins."""


def export_model(store: ArtifactStore, digest: str, target: Path, *, base_digest: str = "") -> None:
    """Copy a version's files, and of an adapter its base, into a new folder; whole or not at all.

    Args:
        base_digest: Of the base of an adapter; empty for other forms.

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
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
