"""Child of test_tensorrt: makes graphs for TensorRT of tiny models, and damages one.

python build_tensorrt.py SCRATCH
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelmill_optimizer_builder.adapters.no_telemetry import forbid_telemetry

forbid_telemetry()

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from modelmill_evaluation.choices import ChoiceQuestion  # noqa: E402
from modelmill_evaluation.parity.goldens import ParityError  # noqa: E402
from modelmill_optimizer_builder.adapters.merged_model import MergedModel  # noqa: E402
from modelmill_optimizer_builder.adapters.standard_onnx import (  # noqa: E402
    MODEL_FILE,
    WEIGHTS_FILE,
)
from modelmill_optimizer_builder.adapters.standard_onnx_check import (  # noqa: E402
    OnnxRuntimeReader,
    check_graph,
    graph_inputs,
    widen,
)
from modelmill_optimizer_builder.child import load_form  # noqa: E402
from modelmill_optimizer_builder.domain.build_plan import NotExportableError  # noqa: E402
from modelmill_optimizer_builder.domain.tensorrt_plan import PLAN, plan_errors  # noqa: E402
from modelmill_optimizer_builder.make_build import FormRequest, Source  # noqa: E402
from modelmill_testkit.models import make_tiny_llama, make_tiny_qwen  # noqa: E402
from modelmill_tokenization.chat_tokenizer import ChatTokenizer  # noqa: E402

TEXT = "a small animal of the order, and the offspring who came first at birth; 价格 12 "
MODELS: dict[str, Callable[[Path], Path]] = {
    "llama": make_tiny_llama,
    "qwen2": lambda folder: make_tiny_qwen(folder, version=2, tied=False),
    "qwen3": make_tiny_qwen,
}


def build(base: Path, root: Path) -> dict[str, Any]:
    """A graph of a model, and what can be said of it."""
    ids = ChatTokenizer.load(base).encode(TEXT * 4)
    seen: list[str] = []
    pair = load_form("tensorrt-onnx").make(
        FormRequest(
            source=Source(base, None),
            prompts=[ids[:20]],
            scratch=root / "scratch",
            target=root / "built",
            report=lambda *told: seen.append(told[0]),
        )
    )
    built = root / "built"
    model = onnx.load(str(built / MODEL_FILE))
    plan = json.loads((built / PLAN).read_text())
    return {
        "likeness": pair.parity["forms"][-1],
        "share": pair.weights_bytes / pair.reference_bytes,
        "domains": sorted({node.domain for node in model.graph.node}),
        "types": sorted(
            {onnx.TensorProto.DataType.Name(w.data_type) for w in model.graph.initializer}
        ),
        "files": sorted(path.name for path in built.iterdir()),
        "phases": list(dict.fromkeys(seen)),
        "plan_errors": plan_errors(plan, graph_inputs(built / MODEL_FILE)),
        "rates": len(pair.tokens_per_second([ids[:9]], lambda _done, _total: None)),
        "scores": scores_off(pair, base),
        "likelihoods": likelihoods_off(pair, ids[:40]),
    }


def likelihoods_off(pair: Any, text: list[int]) -> float:
    """How far the graph's likelihoods of a text's tokens are from torch's."""
    [ours], [other] = ([*pair.likelihoods(side, [text])] for side in ("built", "reference"))
    return max(abs(mine - its) for mine, its in zip(ours, other, strict=True))


def scores_off(pair: Any, base: Path) -> float:
    """Largest difference of a score of the graph from the reference's."""
    tokenizer = ChatTokenizer.load(base)
    choices = tuple(tuple(tokenizer.encode(text)) for text in ("person of note", "animal", "x"))
    questions = [ChoiceQuestion(tuple(tokenizer.encode(TEXT)), choices, 0)]
    [ours], [other] = ([*pair.scores(side, questions)] for side in ("built", "reference"))
    return float(np.abs(np.array(ours) - np.array(other)).max())


def batch_off(base: Path, graph: Path) -> float:
    """Largest difference of logits, of two texts at once with a cache, from torch's."""
    module: Any = MergedModel.load(base, None).module.float()
    reader: Any = OnnxRuntimeReader(graph)
    ids = torch.arange(3, 3 + 2 * 9).reshape(2, 9)
    with torch.inference_mode():
        wanted = module(ids).logits.numpy()
    past = {name: np.repeat(values, 2, 0) for name, values in reader._empty.items()}
    found = []
    for start, end in ((0, 5), (5, 9)):
        fed = {
            "input_ids": ids[:, start:end].numpy(),
            "attention_mask": np.ones((2, end), np.int64),
            "position_ids": np.tile(np.arange(start, end), (2, 1)),
        }
        outputs = dict(zip(reader._outputs, reader._session.run(None, fed | past), strict=True))
        found.append(outputs.pop("logits"))
        past = {name.replace("present", "past_key_values"): outputs[name] for name in outputs}
    return float(np.abs(np.concatenate(found, 1) - wanted).max() / wanted.std())


def verdict(base: Path, root: Path, damage: Callable[[Any], None]) -> str:
    """What the checks say of a graph that was damaged after its export."""
    form: Any = load_form("tensorrt-onnx")
    built = root / "built"
    shutil.copytree(base, built)
    model = onnx.load(str(base / MODEL_FILE))
    damage(model.graph)
    (built / WEIGHTS_FILE).unlink()
    onnx.save_model(
        model, str(built / MODEL_FILE), save_as_external_data=True, location=WEIGHTS_FILE
    )
    try:
        check_graph(built / MODEL_FILE)
        widened = widen(built / MODEL_FILE, root / "widened")
        form.check(OnnxRuntimeReader(widened), PREPARED[0], built)
    except ParityError as error:
        return error.code
    except NotExportableError as error:
        return str(error)
    return "fine"


PREPARED: list[Any] = []


def zeroed(graph: Any) -> None:
    """A model without its feed-forward layers."""
    for constant in graph.initializer:
        if sorted(constant.dims) == [64, 128]:
            constant.raw_data = bytes(len(constant.raw_data))


def foreign(graph: Any) -> None:
    """An operator of somebody else's."""
    graph.node[0].domain = "com.microsoft"


def untyped(graph: Any) -> None:
    """A product without its second factor."""
    [node, *_] = [node for node in graph.node if node.op_type == "MatMul"]
    del node.input[1]


def main(root: Path) -> dict[str, Any]:
    from modelmill_optimizer_builder.adapters.prepared_source import prepare_source

    found: dict[str, Any] = {}
    for name, make in MODELS.items():
        found[name] = build(make(root / name / "base"), root / name)
    llama = root / "llama"
    found["batch_off"] = batch_off(llama / "base", llama / "scratch" / "widened" / MODEL_FILE)
    ids = ChatTokenizer.load(llama / "base").encode(TEXT)
    again = root / "again"
    PREPARED.append(
        prepare_source(
            FormRequest(Source(llama / "base", None), [ids], again, again, lambda *_told: None)
        )
    )
    found["damage"] = {
        damage.__name__: verdict(llama / "built", root / damage.__name__, damage)
        for damage in (zeroed, foreign, untyped)
    }
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(main(Path(sys.argv[1]))))
