"""The target form openvino-int4: OpenVINO IR with int4 weights, calibrated by NNCF, for CPUs."""

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf import (
    AdvancedCompressionParameters,
    AdvancedGPTQParameters,
    CompressWeightsMode,
    GroupSizeFallbackMode,
)
from numpy.typing import NDArray
from openvino import opset13 as ops

from modelmill_optimizer_builder.adapters.int4_compensation import (
    GroupCodes,
    UnknownLayersError,
    compensated_codes,
)
from modelmill_optimizer_builder.adapters.merged_model import reference_module
from modelmill_optimizer_builder.adapters.openvino_build import WEIGHTS_FILE, OpenVinoBuilder
from modelmill_optimizer_builder.adapters.openvino_export import MODEL_FILE
from modelmill_optimizer_builder.adapters.openvino_scorer import text_likelihoods
from modelmill_optimizer_builder.adapters.prepared_source import WeightForm
from modelmill_optimizer_builder.domain.calibration import CalibrationSet, JudgingSet
from modelmill_optimizer_builder.domain.group_size import group_size_of
from modelmill_optimizer_builder.domain.int4_methods import COMPETING, Int4Method, method_named
from modelmill_optimizer_builder.domain.parity import INT4_LIMIT, INT4_TOLERANCE
from modelmill_optimizer_builder.domain.weights_choice import (
    Judgement,
    WeightsChoice,
    WeightsTrial,
    choose_weights,
)
from modelmill_optimizer_builder.make_build import FormRequest, Report

SMALLEST_GROUP = 16
OPTIONS = ("awq", "scale_estimation", "gptq", "lora_correction", "all_layers")
"""Of NNCF, named as the fields of `Int4Method`."""
DECODER = "layers."
_LAYER = re.compile(r"(?:self\.)?(.+)\.(?:_openvino_orig_weight|weight)")
log = logging.getLogger(__name__)


class OpenVinoInt4(OpenVinoBuilder):
    """int4 weights in groups, made in several ways, of which the best is kept.

    Args:
        methods: Ways that compete; the first where nothing is there to judge them by.
    """

    form = WeightForm("openvino-int4", "int4", INT4_LIMIT, INT4_TOLERANCE)

    def __init__(self, methods: Sequence[Int4Method] = tuple(map(method_named, COMPETING))) -> None:
        self._methods = {method.name: method for method in methods}

    def compress(
        self, source: Path, target: Path, merged: Path, request: FormRequest
    ) -> Mapping[str, Any]:
        calibration = request.calibration
        if calibration is None:
            raise ValueError("openvino-int4 is calibrated. Pass a calibration")
        config = json.loads((source.parent / "config.json").read_text(encoding="utf-8"))
        group_size = group_size_of(config)
        if group_size is None:
            raise ValueError("no group size divides the model's hidden size. Choose another form")
        place = source.parent.parent / "methods"
        maker = Int4Maker(source, merged, calibration, group_size, request.report)
        choice = self._tried(maker, place)
        for end in (".xml", ".bin"):
            made = (place / choice.name / MODEL_FILE).with_suffix(end)
            shutil.move(made, target.with_suffix(end))
        shutil.rmtree(place)
        method = self._methods[choice.name]
        others = "" if method.all_layers else "; embedding and output int8"
        mixed = "" if method.ratio == 1 else f", {1 - method.ratio:.0%} of the layers int8"
        return {
            "weights": f"int4, in groups{mixed}{others}",
            "symmetric": method.symmetric,
            "group_size": method.group_size or group_size,
            "ratio": method.ratio,
            "scales": f"{method.words}, NNCF {nncf.__version__}",
            "chosen_for": choice.why,
            "candidates": choice.trials,
            "judged_by": calibration.judging.as_json(),
            "calibration": calibration.as_json(),
        }

    def _tried(self, maker: "Int4Maker", place: Path) -> WeightsChoice:
        """Make the weights in every way, each in a folder of its name, and choose."""
        judging, source, report = maker.calibration.judging, maker.source, maker.report
        methods = list(self._methods.values()) if judging.texts else [*self._methods.values()][:1]
        trials = []
        for number, method in enumerate(methods):
            made = place / method.name / MODEL_FILE
            made.parent.mkdir(parents=True)
            started = perf_counter()
            try:
                maker.make(method, made)
            except UnknownLayersError as error:
                log.warning("method %s is left out: %s", method.name, error)
                continue
            seconds = perf_counter() - started
            report("judge", number, len(methods) + 1, "method")
            judgement = judge(made, judging)
            weights_bytes = (made.parent / WEIGHTS_FILE).stat().st_size
            trials.append(WeightsTrial(method.name, weights_bytes, seconds, judgement))
        if not judging.texts:
            return WeightsChoice(methods[0].name, "nothing judges it", [])
        report("judge", len(methods), len(methods) + 1, "method")
        reference_bytes = (source.parent / WEIGHTS_FILE).stat().st_size
        return choose_weights(trials, judge(source, judging), reference_bytes)


def judge(path: Path, judging: JudgingSet) -> Judgement:
    """What an IR makes of the rows and texts that judge."""
    likely = text_likelihoods(path, [row.read for row in judging.rows])
    answers = [sum(row.of_answer(found)) for row, found in zip(judging.rows, likely, strict=True)]
    return Judgement(answers, [*text_likelihoods(path, judging.texts)])


@dataclass(frozen=True)
class Int4Maker:
    """Makes int4 weights of one bf16 IR in any way."""

    source: Path
    merged: Path
    """The same model as Hugging Face has them."""
    calibration: CalibrationSet
    group_size: int
    report: Report

    def make(self, method: Int4Method, target: Path) -> None:
        """Write the weights to `target`.

        Raises:
            UnknownLayersError: The method cannot find its way in this architecture.
        """
        nncf.set_log_level(logging.WARNING)
        compressed = self._compressed(method)
        if method.compensation:
            replace_codes(compressed, self._compensated(compressed))
        ov.save_model(compressed, target, compress_to_fp16=False)

    def _compressed(self, method: Int4Method) -> Any:
        model = ov.Core().read_model(self.source)
        names = {name for port in model.inputs for name in port.get_names()}
        samples, read = self.calibration.samples, 0

        def feed(sample: Sequence[int]) -> dict[str, NDArray[Any]]:
            nonlocal read
            read += 1
            self.report("calibrate", read, 0, "sample")
            return {name: value for name, value in _inputs(sample).items() if name in names}

        group_size = method.group_size or self.group_size
        modes = CompressWeightsMode
        options = {name: True for name in OPTIONS if getattr(method, name)}
        return nncf.compress_weights(
            model,
            mode=modes.INT4_SYM if method.symmetric else modes.INT4_ASYM,
            group_size=group_size,
            ratio=method.ratio,
            dataset=nncf.Dataset(samples, feed) if method.is_calibrated else None,
            subset_size=len(samples),
            advanced_parameters=AdvancedCompressionParameters(
                group_size_fallback_mode=GroupSizeFallbackMode.ADJUST,
                min_adjusted_group_size=SMALLEST_GROUP,
                # The scale of a group is taken when the errors of the blocks before it are made up
                # for; of larger blocks, as is the default, all groups but the first miss some.
                gptq_params=AdvancedGPTQParameters(block_size=group_size),
            ),
            **options,
        )

    def _compensated(self, compressed: Any) -> dict[str, GroupCodes]:
        def told(done: int, layers: int) -> None:
            self.report("calibrate", done, layers, "layer")

        group_sizes = {name: node.shape[2] for name, node in decoder_codes(compressed).items()}
        if not group_sizes:
            raise UnknownLayersError("no linear layer has a name that is known")
        module = reference_module(self.merged)
        return compensated_codes(module, group_sizes, self.calibration.samples, told)


def decoder_codes(model: Any) -> dict[str, Any]:
    """Constants of an IR with int4 codes in groups, by the name of their linear layer."""
    found = {}
    for node in model.get_ordered_ops():
        name = _LAYER.fullmatch(node.get_friendly_name())
        if name is None or node.get_type_name() != "Constant" or DECODER not in name[1]:
            continue
        if node.get_element_type() == ov.Type.u4 and len(node.shape) == 3:
            found[name[1]] = node
    return found


def replace_codes(model: Any, codes: Mapping[str, GroupCodes]) -> None:
    """Put codes, zeros and scales in place of those of linear layers."""
    constants = {
        node.get_friendly_name(): node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant"
    }
    for layer, node in decoder_codes(model).items():
        own, name = codes[layer], node.get_friendly_name()
        for end, values, kind in (
            ("", own.codes, ov.Type.u4),
            ("/zero_point", own.zeros[..., None], ov.Type.u4),
            ("/scale", own.scales[..., None], ov.Type.f16),
        ):
            before = constants[name + end]
            after = ops.constant(values.numpy(), dtype=kind, name=name + end)
            for reader in before.output(0).get_target_inputs():
                reader.replace_source_output(after.output(0))
    model.validate_nodes_and_infer_types()


def _inputs(sample: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Inputs of the exported model for one sequence without a cache."""
    length = len(sample)
    return {
        "input_ids": np.array([sample], np.int64),
        "attention_mask": np.ones((1, length), np.int64),
        "position_ids": np.arange(length, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
