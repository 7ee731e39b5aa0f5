"""Child of test_portable: makes forms to export of tiny models, plants damage, prints the facts.

python build_portable.py SCRATCH
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_evaluation.parity.goldens import ParityError
from modelmill_optimizer_builder.adapters.gguf_file import MODEL_FILE, write_gguf
from modelmill_optimizer_builder.adapters.gguf_forms import (
    GgufQ8,
    read_vocabulary,
    source_tensors,
)
from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.merge_source import merge_source
from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.ollama import MODELFILE
from modelmill_optimizer_builder.adapters.portable_build import (
    Folders,
    PortableBuilder,
    PortableBuildPair,
)
from modelmill_optimizer_builder.adapters.torch_scorer import TorchScorer
from modelmill_optimizer_builder.child import load_form
from modelmill_optimizer_builder.make_build import FormRequest, Source
from modelmill_testkit.models import make_tiny_llama, make_tiny_qwen
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

FORMS = (
    "compressed-tensors-int8",
    "compressed-tensors-int4",
    "gguf-bf16",
    "gguf-q8_0",
    "gguf-q4_0",
    "gguf-q4_1",
)
MADE: dict[str, tuple[Callable[[Path], Path], Sequence[str]]] = {
    "llama": (make_tiny_llama, FORMS),
    # What differs by architecture are names, order and biases, not how their numbers are rounded.
    "qwen2": (
        lambda folder: make_tiny_qwen(folder, version=2, tied=False),
        ("compressed-tensors-int8", "gguf-q8_0"),
    ),
    "qwen3": (make_tiny_qwen, ("compressed-tensors-int4", "gguf-bf16")),
}
"""Models, and the forms that are made of each."""
WITNESSED = ("llama", "qwen2")
"""Whose files transformers reads with the right width of heads."""
UP = "model.layers.1.mlp.up_proj"
IDS = torch.arange(3, 40)[None]


def make(form: str, base: Path, root: Path) -> tuple[Any, PortableBuildPair]:
    builder: Any = load_form(form)
    source, scratch, built = Source(base, None), root / "scratch", root / "built"
    return builder, builder.make(FormRequest(source, [[1, 2, 3]], scratch, built, silent))


def silent(*_report: object) -> None: ...


def facts_of(form: str, model: str, base: Path, root: Path) -> dict[str, Any]:
    builder, pair = make(form, base, root)
    built, reference = root / "built", root / "scratch" / "merged"
    facts: dict[str, Any] = {
        "likeness": pair.parity["forms"][-1],
        "weights": pair.parity["weights"],
        "share": pair.weights_bytes / pair.reference_bytes,
        "runtime": pair.parity.get("runtime"),
        "read_alike": pair.parity.get("prompts_alike_by_engine"),
        "files": sorted(path.name for path in built.iterdir()),
    }
    if model in WITNESSED or form.startswith("compressed"):
        ours, _ = builder.loaded(Folders(reference, built), silent)
        facts["witness"] = largest_difference(ours, witness(form, built))
    return facts


@torch.inference_mode()
def largest_difference(one: Any, other: Any) -> float:
    """Of a logit, as a share of their standard deviation."""
    first, second = (each(IDS, use_cache=False).logits for each in (one, other))
    return float((first - second).abs().max() / first.std())


def witness(form: str, built: Path) -> Any:
    """The form as transformers reads it, which knows nothing of our code."""
    if form.startswith("gguf"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            built, gguf_file=MODEL_FILE, dtype=torch.float32
        )
    else:
        packed = CompressedTensorsConfig(run_compressed=False)
        loaded = AutoModelForCausalLM.from_pretrained(
            built, dtype=torch.float32, quantization_config=packed
        )
    return loaded.eval()


def verdict(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except ParityError as error:
        return [error.code, error.message]
    return ["fine", ""]


def damaged(
    builder: PortableBuilder, root: Path, name: str, damage: Callable[[Path], None]
) -> list[str]:
    """What the check says of a build that was damaged."""
    folder = root / name
    shutil.copytree(root / "built", folder)
    damage(folder)
    no_generator: Any = None  # the goldens lie in the build
    goldens = GoldenCheck(Source(folder, None), no_generator, 512)
    folders = Folders(root / "scratch" / "merged", folder)
    return verdict(lambda: builder.check(folders, goldens, silent))


def gguf_data(folder: Path, name: str) -> Any:
    """Blocks of a tensor of type Q8_0, as bytes that are written through."""
    reader = gguf.GGUFReader(folder / MODEL_FILE, "r+")
    [tensor] = [each for each in reader.tensors if each.name == name]
    return tensor.data.reshape(-1, 34)


def scaled_gguf(folder: Path) -> None:
    blocks = gguf_data(folder, "blk.1.ffn_up.weight")
    blocks[:, :2] = (blocks[:, :2].copy().view(np.float16) * np.float16(1.1)).view(np.uint8)


def zeroed_gguf(folder: Path) -> None:
    gguf_data(folder, "blk.1.ffn_up.weight")[:] = 0


def reversed_gguf(folder: Path) -> None:
    blocks = gguf_data(folder, "blk.1.attn_q.weight")
    blocks[:] = blocks[::-1].copy()


def other_template_gguf(folder: Path) -> None:
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content.replace(b"assistant", b"assitsant"))


def other_merges_gguf(folder: Path) -> None:
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content.replace("Ġ a".encode(), "Ġ b".encode()))


def untied_gguf(folder: Path) -> None:
    reference = folder.parent / "scratch" / "merged"
    config = json.loads((reference / "config.json").read_text())
    tensors = [*source_tensors(reference)]
    [embedding] = [values for name, values in tensors if name == "model.embed_tokens.weight"]
    vocabulary = read_vocabulary(reference, config["vocab_size"])
    tensors.append(("lm_head.weight", np.ascontiguousarray(embedding[::-1])))
    write_gguf(folder / MODEL_FILE, config, vocabulary, tensors, GgufQ8.quantisation)


def change(folder: Path, changes: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    changes(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def scaled_packed(folder: Path) -> None:
    change(folder, lambda held: held[f"{UP}.weight_scale"].mul_(1.1))


def zeroed_packed(folder: Path) -> None:
    change(folder, lambda held: held[f"{UP}.weight_scale"].zero_())


def other_template_packed(folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "assistant:\n"))


def untied_packed(folder: Path) -> None:
    head = load_file(folder / "model.safetensors")["model.embed_tokens.weight"].flip(0)
    change(folder, lambda held: held.update({"lm_head.weight": head.contiguous()}))


def without_tensor(folder: Path) -> None:
    change(folder, lambda held: held.pop("model.norm.weight"))


def other_bits(folder: Path) -> None:
    file = folder / "config.json"
    file.write_text(file.read_text().replace('"num_bits": 4', '"num_bits": 8'))


def untied_source(base: Path, folder: Path) -> Path:
    """The model with an output layer of its own, of which its config knows nothing."""
    shutil.copytree(base, folder)
    untied_packed(folder)
    return folder


def headless_source(folder: Path) -> Path:
    """A model without the output layer of which its config speaks."""
    make_tiny_qwen(folder, tied=False)
    change(folder, lambda held: held.pop("lm_head.weight"))
    return folder


def scores(module: Any) -> dict[str, list[float]]:
    """The scorer's answers, and those of one whole pass for each choice."""
    prompt, choices = (1, 5, 9, 300), ((7, 2), (8, 9, 2), (40,))
    [ours] = TorchScorer(module).scores([ChoiceQuestion(prompt, choices, 0)])
    plain = []
    for choice in choices:
        ids = torch.tensor([[*prompt, *choice]])
        rows = module(ids, use_cache=False).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        plain.append(float(rows[range(len(choice)), list(choice)].detach().sum()))
    return {"ours": list(ours), "plain": plain}


def main(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for model, (make_model, forms) in MADE.items():
        base = make_model(root / model / "base")
        for form in forms:
            found[f"{model} {form}"] = facts_of(form, model, base, root / model / form)
    llama = root / "llama"
    found |= damages(llama)
    for bad in (untied_source(llama / "base", root / "untied"), headless_source(root / "headless")):
        source = Source(bad, None)
        found[bad.name] = verdict(lambda source=source: merge_source(source))
    found["scores"] = scores(reference_module(llama / "gguf-q8_0" / "scratch" / "merged"))
    found["modelfile"] = (llama / "gguf-q8_0" / "built" / MODELFILE).read_text()
    return found


def damages(llama: Path) -> dict[str, Any]:
    """What is said of each planted damage."""
    found = {}
    q8: Any = load_form("gguf-q8_0")
    for spoil in (
        scaled_gguf,
        zeroed_gguf,
        reversed_gguf,
        other_template_gguf,
        other_merges_gguf,
        untied_gguf,
    ):
        found[spoil.__name__] = damaged(q8, llama / "gguf-q8_0", spoil.__name__, spoil)
    int4: Any = load_form("compressed-tensors-int4")
    for spoil in (
        scaled_packed,
        zeroed_packed,
        other_template_packed,
        untied_packed,
        without_tensor,
        other_bits,
    ):
        place = llama / "compressed-tensors-int4"
        found[spoil.__name__] = damaged(int4, place, spoil.__name__, spoil)
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]))))
