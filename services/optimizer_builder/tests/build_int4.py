"""Child of test_int4: makes int4 builds of tiny models, and prints what became of them.

python build_int4.py SCRATCH
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
import openvino_genai  # noqa: E402
from modelmill_evaluation.parity.goldens import ParityError  # noqa: E402
from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_build import check_built  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_export import MODEL_FILE  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_int4 import Int4Maker  # noqa: E402
from modelmill_optimizer_builder.adapters.openvino_scorer import text_likelihoods  # noqa: E402
from modelmill_optimizer_builder.child import load_form  # noqa: E402
from modelmill_optimizer_builder.domain.calibration import JudgingSet, mixed  # noqa: E402
from modelmill_optimizer_builder.domain.forms import FORMS  # noqa: E402
from modelmill_optimizer_builder.domain.int4_methods import method_named  # noqa: E402
from modelmill_optimizer_builder.make_build import FormRequest, Source  # noqa: E402
from modelmill_testkit.models import make_tiny_qwen  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402

TEXT = "a small animal of the order, and the offspring who came first at birth; 价格 12 "
MADE: dict[str, Callable[[Path], Path]] = {
    "qwen3": make_tiny_qwen,
    "qwen2": lambda folder: make_tiny_qwen(folder, version=2, tied=False),
}


def build(base: Path, root: Path) -> dict[str, Any]:
    """An int4 build of a model, and what can be said of it."""
    ids = ChatTokenizer.load(base).encode(TEXT * 400)
    judging = JudgingSet(texts=[ids[start : start + 40] for start in range(5)])
    pair = load_form("openvino-int4").make(
        FormRequest(
            source=Source(base, None),
            prompts=[ids[:20]],
            scratch=root / "scratch",
            target=root / "built",
            report=lambda *_report: None,
            calibration=mixed([], ids, judging),
        )
    )
    return {
        "left_in_scratch": sorted(path.name for path in (root / "scratch").iterdir()),
        "likelihoods": likelihoods(pair, ids[:50]),
        "likeness": pair.parity["forms"][0],
        "method": pair.method,
        "weights_share": pair.weights_bytes / pair.reference_bytes,
        "types": weight_types(root / "built" / MODEL_FILE),
        "generated": generated(root / "built", ids[:20]),
        "damaged": verdict(damaged(root / "built", root / "damaged")),
        "errors": errors(base, root, ids),
    }


def errors(base: Path, root: Path, ids: list[int]) -> dict[str, float]:
    """By method, how far the likelihoods of a text are from the reference's; of other layers the
    code of the refusal."""
    reference, merged = root / "scratch" / "reference" / MODEL_FILE, root / "merged"
    MergedModel.load(base, None).save(merged)
    maker = Int4Maker(reference, merged, mixed([], ids), 32, lambda *_report: None)
    texts = [ids[start : start + 100] for start in range(0, 300, 100)]
    wanted = np.concatenate([*text_likelihoods(reference, texts)])
    found = {}
    for name in ("rounding", "compensation", "awq-se-gptq"):
        made = root / name / MODEL_FILE
        made.parent.mkdir()
        maker.make(method_named(name), made)
        likely = np.concatenate([*text_likelihoods(made, texts)])
        found[name] = float(np.abs(likely - wanted).mean())
    return found


def likelihoods(pair: Any, text: list[int]) -> dict[str, Any]:
    """Of a text by both sides."""
    found = {side: next(iter(pair.likelihoods(side, [text]))) for side in ("reference", "built")}
    return {
        "tokens": [len(found[side]) for side in found],
        "likeliest": max(map(max, found.values())),
        "means": [float(np.mean(found[side])) for side in found],
    }


def weight_types(path: Path) -> dict[str, int]:
    """Number of weights by type: of codes, not of their scales and zero points."""
    types: Counter[str] = Counter()
    for node in ov.Core().read_model(path).get_ordered_ops():
        name = node.get_friendly_name()
        if node.get_type_name() == "Constant" and not re.search("scale|zero_point", name):
            size = int(np.prod(node.shape))
            types[node.get_element_type().get_type_name()] += size
    return {name: count for name, count in types.items() if count > 1000}


def generated(folder: Path, prompt: list[int]) -> int:
    """Tokens of a greedy answer by the serving engine."""
    scheduler = openvino_genai.SchedulerConfig()
    pipeline: Any = openvino_genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", {})
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos = 8, True
    (result,) = pipeline.generate([ov.Tensor(np.array([prompt]))], [config])
    return len(result.m_generation_ids[0])


def damaged(build: Path, folder: Path) -> Path:
    """The build with the int4 weights of every layer in reverse order."""
    shutil.copytree(build, folder)
    weights = bytearray((folder / "openvino_model.bin").read_bytes())
    for layer in ElementTree.parse(folder / MODEL_FILE).iter("layer"):
        constant = layer.find("data")
        if layer.get("type") == "Const" and constant is not None:
            start, size = int(constant.get("offset", "")), int(constant.get("size", ""))
            if constant.get("element_type") == "u4":
                weights[start : start + size] = weights[start : start + size][::-1]
    (folder / "openvino_model.bin").write_bytes(weights)
    return folder


def verdict(build: Path) -> str:
    """Code of the check's refusal; "fine" if it passes."""
    no_generator: Any = None  # the goldens lie in the build
    goldens = GoldenCheck(Source(build, None), no_generator, 512)
    form: Any = load_form("openvino-int4")
    try:
        check_built(goldens, build, form.form)
    except ParityError as error:
        return error.code
    return "fine"


def main(root: Path) -> dict[str, Any]:
    found = {name: build(make(root / name / "base"), root / name) for name, make in MADE.items()}
    loaded = {name: type(load_form(name)).__name__ for name in FORMS}
    return found | {"loaded": loaded}


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]))))
