"""The target forms onnx-fp32, onnx-int8 and onnx-int4: ONNX for ONNX Runtime GenAI, on CPUs."""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import onnxruntime
from modelmill_evaluation.choices import ChoiceQuestion
from modelmill_tokenization.bounded.here import BoundedTokenizer

from modelmill_optimizer_builder.adapters.golden_check import GoldenCheck
from modelmill_optimizer_builder.adapters.onnx_export import (
    MODEL_FILE,
    WEIGHTS_FILE,
    export_fp32,
)
from modelmill_optimizer_builder.adapters.onnx_quantise import quantise_int4, quantise_int8
from modelmill_optimizer_builder.adapters.onnx_reader import (
    OnnxReader,
    choice_scores,
    served_logits,
    speed_of,
    steps_logits,
    text_likelihoods,
)
from modelmill_optimizer_builder.adapters.prepared_source import (
    LogitProbe,
    PreparedSource,
    WeightForm,
    prepare_source,
)
from modelmill_optimizer_builder.adapters.speed_rounds import rates_by_round
from modelmill_optimizer_builder.adapters.tokenizer_files import copy_configs, copy_tokenizer
from modelmill_optimizer_builder.domain.group_size import group_size_of
from modelmill_optimizer_builder.domain.likelihoods import Likelihoods
from modelmill_optimizer_builder.domain.parity import (
    EXPORT_TOLERANCE,
    INT4_LIMIT,
    INT4_TOLERANCE,
    INT8_LIMIT,
    QUANTISED_TOLERANCE,
    ROUNDED_LIMIT,
    LogitDistance,
    check_export,
    check_quantised,
)
from modelmill_optimizer_builder.make_build import FormRequest, Side
from modelmill_optimizer_builder.read_general_text import Texts


class OnnxBuilder(ABC):
    """Exports once: the float32 model is both the reference and the input of the quantization."""

    form: ClassVar[WeightForm]

    @abstractmethod
    def compress(self, source: Path, target: Path) -> Mapping[str, Any]:
        """Write the float32 model of the folder `source` in the form to `target`; returns how."""

    def make(self, request: FormRequest) -> "OnnxBuildPair":
        """See `modelmill_optimizer_builder.make_build.TargetForm`."""
        source, target, report = request.source, request.target, request.report
        reference = request.scratch / "reference"
        target.mkdir(parents=True)
        prepared = prepare_source(request)
        prepared.merged.release()

        report("export", 0, 0, "")
        export_fp32(prepared.folder, reference, BoundedTokenizer.load(source.tokenizer).eos_ids)
        copy_configs(prepared.folder, reference)
        copy_tokenizer(source.tokenizer, reference)
        shutil.rmtree(prepared.folder)

        report("quantise", 0, 0, "")
        method = self.compress(reference, target)
        for path in reference.iterdir():
            if path.suffix in (".json", ".jinja"):
                shutil.copyfile(path, target / path.name)

        report("check", 0, 0, "")
        check_export(logit_distances(reference, prepared.probe))
        check_quantised(logit_distances(target, prepared.probe), self.form.tolerance)
        check_built(prepared.goldens, target, self.form)
        prepared.goldens.goldens.write(target)
        return OnnxBuildPair(self.form, reference, target, prepared, method)


class OnnxFp32(OnnxBuilder):
    """The source's weights as float32."""

    form = WeightForm("onnx-fp32", "float32", ROUNDED_LIMIT, EXPORT_TOLERANCE)

    def compress(self, source: Path, target: Path) -> Mapping[str, Any]:
        for name in (MODEL_FILE, WEIGHTS_FILE):
            shutil.copyfile(source / name, target / name)
        return {"weights": "float32, as in the source", **_runtime()}


class OnnxInt8(OnnxBuilder):
    """int8 weights, symmetric in blocks."""

    form = WeightForm("onnx-int8", "int8", INT8_LIMIT, QUANTISED_TOLERANCE)

    def compress(self, source: Path, target: Path) -> Mapping[str, Any]:
        block_size = _block_size(source)
        quantise_int8(source / MODEL_FILE, target / MODEL_FILE, block_size)
        return {
            "weights": "int8, symmetric, in blocks; also the embedding",
            "block_size": block_size,
            **_runtime(),
        }


class OnnxInt4(OnnxBuilder):
    """int4 weights by k-quant, the most sensitive ones int8."""

    form = WeightForm("onnx-int4", "int4", INT4_LIMIT, INT4_TOLERANCE)

    def compress(self, source: Path, target: Path) -> Mapping[str, Any]:
        block_size = _block_size(source)
        quantise_int4(source / MODEL_FILE, target / MODEL_FILE, block_size)
        return {
            "weights": "int4, asymmetric, in blocks, by k-quant; int8: embedding and output, and "
            "values and down projections of half of the layers",
            "block_size": block_size,
            **_runtime(),
        }


def _block_size(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = group_size_of(config)
    if size is None:
        raise ValueError("no block size divides the model's hidden size. Choose another form")
    return size


def _runtime() -> dict[str, str]:
    return {"quantizer": f"ONNX Runtime {onnxruntime.__version__}"}


def logit_distances(folder: Path, probe: LogitProbe) -> list[LogitDistance]:
    """How far a build is from the merged model, in prefill and decode steps as the engine's."""
    return probe.distances([*steps_logits(OnnxReader(folder), probe.prompt, probe.tokens)])


def check_built(goldens: GoldenCheck, target: Path, form: WeightForm) -> None:
    """Verify that a finished build encodes and answers the golden prompts as its source does.

    Raises:
        ParityError: It does not; the code names the fault.
        LimitError: A tokenizer exceeded its time or memory limit.
    """
    goldens.check_folder(target, form=form.name)
    rows = served_logits(target, *goldens.goldens.spoken)
    goldens.check_logits(rows, form.limit, form=f"{form.name}, as served")


class OnnxBuildPair:
    """A build and the float32 model that it was made from."""

    def __init__(
        self,
        form: WeightForm,
        reference: Path,
        built: Path,
        prepared: PreparedSource,
        method: Mapping[str, Any],
    ) -> None:
        self.names: Mapping[Side, str] = {"reference": "bf16", "built": form.weights}
        self._folders: dict[Side, Path] = {"reference": reference, "built": built}
        self.reference_bytes = prepared.reference_bytes
        self.weights_bytes = (built / WEIGHTS_FILE).stat().st_size
        self.built_bytes = self.weights_bytes + (built / MODEL_FILE).stat().st_size
        self.context_tokens = prepared.context_tokens
        self.method = method
        self.parity: Mapping[str, Any] = prepared.goldens.record()
        self.made_figures: Mapping[str, float] = prepared.goldens.figures()

    def scores(self, side: Side, questions: Sequence[ChoiceQuestion]) -> Iterator[Sequence[float]]:
        return choice_scores(self._folders[side], questions)

    def likelihoods(self, side: Side, texts: Texts) -> Iterator[Likelihoods]:
        return text_likelihoods(self._folders[side], texts)

    def tokens_per_second(
        self, prompts: Sequence[Sequence[int]], on_round: Callable[[int, int], None]
    ) -> Mapping[Side, Sequence[float]]:
        engines = {side: speed_of(folder) for side, folder in self._folders.items()}
        return rates_by_round(engines, prompts, self.context_tokens, on_round)
