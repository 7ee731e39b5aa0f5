"""From a merged torch model to an OpenVINO IR with bf16 weights and a hidden key/value cache."""

from pathlib import Path

from optimum.exporters.openvino import export_from_model, utils
from optimum.exporters.openvino.model_configs import DeepseekOpenVINOConfig
from optimum.exporters.openvino.model_patcher import OVDecoderModelPatcher

from modelmill_optimizer_builder.adapters.merged_model import MergedModel

MODEL_FILE = "openvino_model.xml"
LATENT = ("deepseek_v2", "deepseek_v3")
"""Latent attention and experts, which optimum-intel knows of transformers 4.53 only."""


def export_bf16(merged: MergedModel, folder: Path) -> None:
    """Write `openvino_model.xml` and `.bin`, `config.json` and `generation_config.json`."""
    model_type = merged.module.config.model_type
    if model_type in LATENT:
        _prepare_latent(merged)
    if model_type not in utils.SKIP_CHECK_TRACE_MODELS:
        # torch would trace a second time and compare; `parity` compares the result itself.
        utils.SKIP_CHECK_TRACE_MODELS = (*utils.SKIP_CHECK_TRACE_MODELS, model_type)
    export_from_model(
        merged.module,
        folder,
        task="text-generation-with-past",
        stateful=True,
        # Keeps the weights as bf16 constants instead of writing them out twice as large.
        patch_16bit_model=True,
        # The tokenizer is written by `openvino_tokenizer`, from the source's own files.
        preprocessors=[],
    )


def _prepare_latent(merged: MergedModel) -> None:
    """Export them as any other decoder: what optimum-intel would patch is gone from transformers 5.

    Experts are computed as one batched product. The default groups tokens by expert, which OpenVINO
    has no operation for, and a loop over experts would be traced with the counts of one prompt.
    """
    DeepseekOpenVINOConfig.MAX_TRANSFORMERS_VERSION = "9.9"
    DeepseekOpenVINOConfig._MODEL_PATCHER = OVDecoderModelPatcher
    merged.module.set_experts_implementation("batched_mm")
