"""The target forms tensorrt-onnx, a graph with its plan, and tensorrt-engine, built of both.

The graph is checked where no GPU is; that TensorRT reads it, only an engine's build says.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from modelmill_evaluation.choices import ChoiceQuestion

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.prepared_source import PreparedSource, prepare_source
from modelmill_optimizer_builder.adapters.standard_onnx import (
    MODEL_FILE,
    OPSET,
    WEIGHTS_FILE,
    export_standard,
)
from modelmill_optimizer_builder.adapters.standard_onnx_check import (
    CachedReader,
    OnnxRuntimeReader,
    cached_likelihoods,
    cached_logits,
    cached_scores,
    cached_steps,
    check_graph,
    graph_inputs,
    widen,
)
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_configs, copy_tokenizer
from modelmill_optimizer_builder.adapters.torch_scorer import TorchScorer
from modelmill_optimizer_builder.domain.build_plan import NotExportableError
from modelmill_optimizer_builder.domain.likelihoods import Likelihoods
from modelmill_optimizer_builder.domain.parity import (
    BF16_TOLERANCE,
    INT8_LIMIT,
    ROUNDED_LIMIT,
    check_export,
)
from modelmill_optimizer_builder.domain.tensorrt_plan import (
    ENGINE,
    PLAN,
    plan_errors,
    plan_of,
    trtexec_command,
)
from modelmill_optimizer_builder.make_build import FormRequest, Report, Side
from modelmill_optimizer_builder.read_general_text import Texts
from modelmill_optimizer_builder.tensorrt import build as engine_build

SCRIPT, COMMAND = "build.py", "trtexec.sh"


class TensorRtOnnx:
    """A bf16 graph of standard operators, the plan of its engine, and what builds that."""

    name = "tensorrt-onnx"

    def make(self, request: FormRequest) -> "TensorRtPair":
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        target, report = request.target, request.report
        target.mkdir(parents=True)
        prepared = prepare_source(request)
        report("export", 0, 0, "")
        export_standard(prepared.merged.module, target)
        prepared.merged.release()
        copy_configs(prepared.folder, target)
        copy_tokenizer(request.source.tokenizer, target)

        report("check", 0, 0, "")
        check_graph(target / MODEL_FILE)
        widened = widen(target / MODEL_FILE, request.scratch / "widened")
        self.check(OnnxRuntimeReader(widened), prepared, target)
        write_plan(target, prepared.context_tokens)
        method = {
            "weights": "bf16, as in the source",
            "opset": OPSET,
            "exporter": torch.__version__,
        }
        reader = self.finish(target, prepared.goldens, report) or OnnxRuntimeReader(widened)
        prepared.goldens.goldens.write(target)
        return TensorRtPair(reader, target, prepared, method)

    def check(self, reader: CachedReader, prepared: PreparedSource, target: Path) -> None:
        """Verify that the graph computes and its folder encodes as the source.

        Raises:
            ParityError: They do not; the code names the fault.
        """
        probe, goldens = prepared.probe, prepared.goldens
        found = [*cached_steps(reader, probe.prompt, probe.tokens)]
        check_export(probe.distances(found), BF16_TOLERANCE)
        goldens.check_folder(target, form=self.name)
        rows = cached_logits(reader, *goldens.goldens.spoken)
        goldens.check_logits(rows, ROUNDED_LIMIT, form=f"{self.name}, in ONNX Runtime")

    def finish(self, target: Path, goldens: GoldenCheck, report: Report) -> CachedReader | None:
        """Make of the graph what the form is; returns what runs it, if that is not ONNX Runtime."""
        return None


class TensorRtEngine(TensorRtOnnx):
    """The same, with the engine built for this machine's GPU."""

    name = "tensorrt-engine"

    def finish(self, target: Path, goldens: GoldenCheck, report: Report) -> CachedReader | None:
        from modelmill_optimizer_builder.adapters.tensorrt_engine import TensorRtReader

        report("build", 0, 0, "")
        try:
            engine = engine_build.build(target)
        except (ImportError, engine_build.EngineNotBuiltError) as error:
            raise NotExportableError(str(error)) from error
        report("check", 0, 0, "")
        reader = TensorRtReader(engine)
        rows = cached_logits(reader, *goldens.goldens.spoken)
        goldens.check_logits(rows, INT8_LIMIT, form=f"{self.name}, on its GPU")
        return reader


def write_plan(target: Path, context_tokens: int) -> None:
    """Write the plan of a graph, and what builds it.

    Raises:
        NotExportableError: The graph has inputs that no plan fits.
    """
    graph = graph_inputs(target / MODEL_FILE)
    try:
        plan = plan_of(graph, onnx=MODEL_FILE, context_tokens=context_tokens)
    except KeyError as error:
        raise NotExportableError(f"the graph has a dimension {error} that no plan knows") from error
    if errors := plan_errors(plan, graph):
        raise NotExportableError(f"no plan fits the graph: {errors[0]}")
    (target / PLAN).write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    (target / COMMAND).write_text(f"{trtexec_command(plan)}\n", encoding="utf-8")
    shutil.copyfile(Path(engine_build.__file__), target / SCRIPT)


class TensorRtPair:
    """A graph or engine, and the bf16 weights that it was made from."""

    def __init__(
        self,
        reader: CachedReader,
        built: Path,
        prepared: PreparedSource,
        method: Mapping[str, Any],
    ) -> None:
        self._reader, self._reference = reader, prepared.folder
        self.names: Mapping[Side, str] = {"reference": "bf16", "built": "tensorrt"}
        files = [built / name for name in (MODEL_FILE, WEIGHTS_FILE, ENGINE)]
        self.built_bytes = sum(file.stat().st_size for file in files if file.is_file())
        self.weights_bytes = (built / WEIGHTS_FILE).stat().st_size
        self.reference_bytes = prepared.reference_bytes
        self.context_tokens = prepared.context_tokens
        self.method: Mapping[str, Any] = {**method, "onnx": onnx.__version__}
        self.parity: Mapping[str, Any] = prepared.goldens.record()
        self.made_figures: Mapping[str, float] = prepared.goldens.figures()

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        if side == "reference":
            return TorchScorer(reference_module(self._reference)).scores(questions)
        return cached_scores(self._reader, questions)

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        if side == "reference":
            return TorchScorer(reference_module(self._reference)).likelihoods(texts)
        return cached_likelihoods(self._reader, texts)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        """None: no engine here runs it."""
        return {}
