"""The target form openvino-int4: OpenVINO IR with int4 weights, calibrated by NNCF, for CPUs."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf import AdvancedCompressionParameters, CompressWeightsMode, GroupSizeFallbackMode
from numpy.typing import NDArray

from modelmill_optimizer_builder.adapters.openvino_build import OpenVinoBuilder
from modelmill_optimizer_builder.adapters.prepared_source import WeightForm
from modelmill_optimizer_builder.domain.calibration import CalibrationSet
from modelmill_optimizer_builder.domain.group_size import group_size_of
from modelmill_optimizer_builder.domain.parity import INT4_LIMIT, INT4_TOLERANCE
from modelmill_optimizer_builder.make_build import Report

RATIO = 1.0
"""Share of the layers' weights that are int4; embedding and output projection are int8."""
SMALLEST_GROUP = 16


class OpenVinoInt4(OpenVinoBuilder):
    """int4 weights in groups, by activation-aware scaling (AWQ) and estimated scales."""

    form = WeightForm("openvino-int4", "int4", INT4_LIMIT, INT4_TOLERANCE)

    def compress(
        self, source: Path, target: Path, calibration: CalibrationSet | None, report: Report
    ) -> Mapping[str, Any]:
        if calibration is None:
            raise ValueError("openvino-int4 is calibrated. Pass a calibration")
        config = json.loads((source.parent / "config.json").read_text(encoding="utf-8"))
        group_size = group_size_of(config)
        if group_size is None:
            raise ValueError("no group size divides the model's hidden size. Choose another form")
        quantise_by_calibration(source, target, calibration.samples, group_size, report)
        return {
            "weights": "int4, asymmetric, in groups; embedding and output int8",
            "group_size": group_size,
            "ratio": RATIO,
            "scales": "AWQ and scale estimation, NNCF " + str(nncf.__version__),
            "calibration": calibration.as_json(),
        }


def quantise_by_calibration(
    source: Path, target: Path, samples: Sequence[Sequence[int]], group_size: int, report: Report
) -> None:
    """Quantize a bf16 IR to int4; scales are chosen by what the layers compute for `samples`."""
    nncf.set_log_level(logging.WARNING)
    model = ov.Core().read_model(source)
    names = {name for port in model.inputs for name in port.get_names()}
    read = 0

    def feed(sample: Sequence[int]) -> dict[str, NDArray[Any]]:
        nonlocal read
        read += 1
        report("calibrate", read, 0, "sample")
        return {name: value for name, value in _inputs(sample).items() if name in names}

    compressed = nncf.compress_weights(
        model,
        mode=CompressWeightsMode.INT4_ASYM,
        group_size=group_size,
        ratio=RATIO,
        dataset=nncf.Dataset(samples, feed),
        subset_size=len(samples),
        awq=True,
        scale_estimation=True,
        advanced_parameters=AdvancedCompressionParameters(
            group_size_fallback_mode=GroupSizeFallbackMode.ADJUST,
            min_adjusted_group_size=SMALLEST_GROUP,
        ),
    )
    ov.save_model(compressed, target, compress_to_fp16=False)


def _inputs(sample: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Inputs of the exported model for one sequence without a cache."""
    length = len(sample)
    return {
        "input_ids": np.array([sample], np.int64),
        "attention_mask": np.ones((1, length), np.int64),
        "position_ids": np.arange(length, dtype=np.int64)[None],
        "beam_idx": np.zeros(1, np.int32),
    }
