"""Child of test_onnx: makes ONNX builds of tiny models, and prints what became of them.

python build_onnx.py SCRATCH ADAPTER
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from modelmill_evaluation.choices import ChoiceQuestion  # noqa: E402
from modelmill_evaluation.parity.goldens import ParityError  # noqa: E402
from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.onnx_build import check_built  # noqa: E402
from modelmill_optimizer_builder.adapters.onnx_export import (  # noqa: E402
    EMBEDDING,
    MODEL_FILE,
    WEIGHTS_FILE,
    check_tying,
    export_fp32,
)
from modelmill_optimizer_builder.adapters.onnx_reader import choice_scores  # noqa: E402
from modelmill_optimizer_builder.child import load_form  # noqa: E402
from modelmill_optimizer_builder.domain.build_plan import NotExportableError  # noqa: E402
from modelmill_optimizer_builder.make_build import FormRequest, Source  # noqa: E402
from modelmill_testkit.models import make_tiny_llama, make_tiny_qwen  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

TEXT = "a small animal of the order, and the offspring who came first at birth; 价格 12 "
MODELS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "llama": (make_tiny_llama, ("onnx-fp32", "onnx-int8", "onnx-int4")),
    "qwen3": (make_tiny_qwen, ("onnx-int4",)),
    "qwen2": (lambda folder: make_tiny_qwen(folder, version=2, tied=False), ("onnx-int8",)),
}


def build(source: Source, form: str, root: Path) -> dict[str, Any]:
    """A build of a model, and what can be said of it."""
    ids = ChatTokenizer.load(source.base).encode(TEXT * 4)
    seen: list[str] = []
    pair = load_form(form).make(
        FormRequest(
            source=source,
            prompts=[ids[:20]],
            scratch=root / "scratch",
            target=root / "built",
            report=lambda *told: seen.append(told[0]),
        )
    )
    graph = onnx.load(str(root / "built" / MODEL_FILE), load_external_data=False).graph
    return {
        "likeness": pair.parity["forms"][-1],
        "method": pair.method,
        "share": pair.weights_bytes / pair.reference_bytes,
        "bits": sorted({bits_of(node) for node in graph.node if node.op_type == "MatMulNBits"}),
        "embedding": [node.op_type for node in graph.node if node.name.startswith(EMBEDDING)],
        "shares_head": shares_head(graph),
        "files": sorted(path.name for path in (root / "built").iterdir()),
        "phases": list(dict.fromkeys(seen)),
        "likelihoods": likelihoods(pair, ids),
        "rounds": [len(rates) for rates in pair.tokens_per_second([ids[:9]], silent).values()],
    }


def likelihoods(pair: Any, text: list[int]) -> list[float]:
    """Mean log-likelihood of a text's tokens, longer than a piece that is read, by both sides."""
    found = [next(pair.likelihoods(side, [text])) for side in ("reference", "built")]
    assert [len(each) for each in found] == [len(text) - 1] * 2, len(text)
    return [float(np.mean(each)) for each in found]


def silent(_done: int, _total: int) -> None: ...


def bits_of(node: Any) -> int:
    return next(int(each.i) for each in node.attribute if each.name == "bits")


def shares_head(graph: Any) -> bool:
    """Whether the embedding is read from the weights of the output projection."""
    [head] = [node for node in graph.node if node.name.startswith("/lm_head/MatMul")]
    read = {name for node in graph.node if node.name.startswith(EMBEDDING) for name in node.input}
    return head.input[1] in read


def damaged(build: Path, folder: Path, change: Callable[[Iterable[Any]], None]) -> Path:
    """The build with weights changed."""
    shutil.copytree(build, folder)
    model = onnx.load(str(folder / MODEL_FILE))
    change(model.graph.initializer)
    (folder / WEIGHTS_FILE).unlink()
    onnx.save_model(
        model, str(folder / MODEL_FILE), save_as_external_data=True, location=WEIGHTS_FILE
    )
    return folder


def scaled(weights: Iterable[Any]) -> None:
    """The scales of one layer's projections times eight."""
    for constant in weights:
        if "layers.0" in constant.name and "scale" in constant.name:
            values: NDArray[Any] = onnx.numpy_helper.to_array(constant) * 8
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))


def zeroed(weights: Iterable[Any]) -> None:
    """One layer without its projections."""
    for constant in weights:
        if "layers.0" in constant.name and "scale" in constant.name:
            nothing: NDArray[Any] = 0 * onnx.numpy_helper.to_array(constant)
            constant.CopyFrom(onnx.numpy_helper.from_array(nothing, constant.name))


def reversed_codes(weights: Iterable[Any]) -> None:
    """The codes of all layers in reverse order."""
    for constant in weights:
        if "layers." in constant.name and "_Q" in constant.name:
            constant.raw_data = constant.raw_data[::-1]


def verdict(build: Path, form: str) -> str:
    """Code of the check's refusal; "fine" if it passes."""
    no_generator: Any = None  # the goldens lie in the build
    goldens = GoldenCheck(Source(build, None), no_generator, 512)
    made: Any = load_form(form)
    try:
        check_built(goldens, build, made.form)
    except ParityError as error:
        return error.code
    return "fine"


def scores_off(base: Path, folder: Path) -> float:
    """Largest difference of a score from torch's, of choices that are computed to their ends."""
    tokenizer = ChatTokenizer.load(base)
    texts = ("person of note", "animal", "x", "food and plants and more")
    choices = tuple(tuple(tokenizer.encode(text)) for text in texts)
    prompts = [tuple(tokenizer.encode(f"{TEXT} {number}")) for number in range(3)]
    questions = [ChoiceQuestion(prompt, choices, 0) for prompt in prompts]
    module = MergedModel.load(base, None).module.float()
    off = []
    for question, scores in zip(questions, choice_scores(folder, questions), strict=True):
        wanted = [torch_score(module, question.prompt_ids, choice) for choice in choices]
        best = int(np.argmax(wanted))
        assert int(np.argmax(scores)) == best
        off.append(abs(scores[best] - wanted[best]))
    return max(off)


@torch.inference_mode()
def torch_score(module: Any, prompt: tuple[int, ...], choice: tuple[int, ...]) -> float:
    logits = module(torch.tensor([[*prompt, *choice[:-1]]])).logits[0, len(prompt) - 1 :]
    likely = logits.log_softmax(-1)[torch.arange(len(choice)), torch.tensor(choice)]
    return float(likely.sum())


def far_off(base: Path) -> float:
    """Largest difference of a merged model's logits, at the end of a long text, from the source's.

    As a share of their standard deviation; both have bf16 weights and compute in float32.
    """
    ids = [3 + number % 300 for number in range(480)]
    source: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.inference_mode():
        wanted = source(torch.tensor([ids])).logits[0, -1].numpy()
    _, found = MergedModel.load(base, None).greedy_logits(ids, 1)
    return float(np.abs(found[0] - wanted).max() / wanted.std())


def refusal(refuse: Callable[[], None]) -> str:
    """The message of an architecture that cannot be exported."""
    try:
        refuse()
    except NotExportableError as error:
        return str(error)
    return ""


def unheard_of(base: Path, folder: Path) -> None:
    """Export a model whose config.json names an architecture that nobody knows."""
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["UnheardOf"]}))
    export_fp32(folder, folder / "onnx", frozenset({2}))


def main(root: Path, adapter: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (make, forms) in MODELS.items():
        base = make(root / name / "base")
        for form in forms:
            found[f"{name} {form}"] = build(Source(base, None), form, root / name / form)
    llama = root / "llama"
    built = llama / "onnx-int4" / "built"
    found["adapter"] = build(Source(llama / "base", adapter), "onnx-int8", root / "adapter")
    found["scores_off"] = scores_off(llama / "base", llama / "onnx-fp32" / "built")
    found["far_off"] = far_off(llama / "base")
    found["damage"] = {
        change.__name__: verdict(damaged(built, root / change.__name__, change), "onnx-int4")
        for change in (scaled, zeroed, reversed_codes)
    }
    found["untied"] = refusal(
        lambda: check_tying(llama / "onnx-fp32" / "built" / MODEL_FILE, is_tied=False)
    )
    found["unheard_of"] = refusal(lambda: unheard_of(llama / "base", root / "unheard"))
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(*map(Path, sys.argv[1:]))))
