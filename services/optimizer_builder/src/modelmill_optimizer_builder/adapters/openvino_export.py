"""Exports a merged model to an OpenVINO IR with bf16 weights: reference and input of every form."""

from pathlib import Path
from typing import Any

import torch
from optimum.exporters.openvino import export_from_model, utils
from optimum.exporters.openvino.model_configs import DeepseekOpenVINOConfig
from optimum.exporters.openvino.model_patcher import OVDecoderModelPatcher
from optimum.exporters.tasks import TasksManager

from modelmill_optimizer_builder.adapters.merged_model import MergedModel
from modelmill_optimizer_builder.domain.build_plan import NotExportableError

MODEL_FILE = "openvino_model.xml"
LATENT = ("deepseek_v2", "deepseek_v3")
"""Models with latent attention, which optimum-intel supports for transformers 4.53 only."""
TASK = "text-generation-with-past"
NO_LIMIT = "99.0"
REASON_CHARACTERS = 300


def export_bf16(merged: MergedModel, folder: Path) -> None:
    """Write `openvino_model.xml` and `.bin`, `config.json` and `generation_config.json`.

    Raises:
        NotExportableError: optimum-intel cannot export this architecture.
    """
    model_type = merged.module.config.model_type
    if model_type in LATENT:
        _prepare_latent(merged)
    if model_type not in utils.SKIP_CHECK_TRACE_MODELS:
        # torch would trace a second time to compare; `parity` checks the result instead.
        utils.SKIP_CHECK_TRACE_MODELS = (*utils.SKIP_CHECK_TRACE_MODELS, model_type)
    try:
        _allow_this_transformers(merged.module)
        export_from_model(
            merged.module,
            folder,
            task=TASK,
            stateful=True,
            # Keep bf16 constants; float32 would be twice as large.
            patch_16bit_model=True,
            # `openvino_tokenizer` writes the tokenizer, from the source's own files.
            preprocessors=[],
        )
    except (MemoryError, OSError):
        raise  # says nothing of the architecture
    except Exception as error:  # the exporter's errors have no class of their own
        raise not_exportable(model_type, error) from error


def _allow_this_transformers(module: Any) -> None:
    """Let an architecture be exported that optimum-intel tried with an older transformers only.

    Whether the export is right is not taken on trust: `make` compares what it computes.
    """
    config = TasksManager.get_exporter_config_constructor(
        model=module, task=TASK, exporter="openvino", library_name="transformers"
    )
    config.func.MAX_TRANSFORMERS_VERSION = NO_LIMIT


def not_exportable(model_type: str, error: Exception) -> NotExportableError:
    """What the exporter said of an architecture, in one line."""
    reason = " ".join(str(error).split())[:REASON_CHARACTERS] or type(error).__name__
    return NotExportableError(f"optimum-intel cannot export a model of type {model_type}: {reason}")


def _prepare_latent(merged: MergedModel) -> None:
    """Export like any other decoder: transformers 5 no longer has what optimum-intel patches.

    Experts are computed as one batched product. OpenVINO has no operation for the default, which
    groups tokens by expert, and tracing a loop over experts would bake in one prompt's counts.
    """
    DeepseekOpenVINOConfig._MODEL_PATCHER = OVDecoderModelPatcher
    merged.module.set_experts_implementation("batched_mm")
    for module in merged.module.modules():
        if isinstance(gate := getattr(module, "gate", None), torch.nn.Linear):
            gate.__class__ = _Router


class _Router(torch.nn.Linear):
    """A linear layer whose weight its model reads, as DeepSeek V2 does, without calling the layer.

    OpenVINO takes the weights of `torch.nn.Linear` aside for what is called, and leaves others.
    """
