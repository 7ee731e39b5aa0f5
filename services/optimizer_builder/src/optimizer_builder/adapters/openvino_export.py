"""From a merged torch model to an OpenVINO IR with bf16 weights and a hidden key/value cache."""

from pathlib import Path

from optimum.exporters.openvino import export_from_model, utils

from optimizer_builder.adapters.merged_model import MergedModel

MODEL_FILE = "openvino_model.xml"


def export_bf16(merged: MergedModel, folder: Path) -> None:
    """Write `openvino_model.xml` and `.bin`, `config.json` and `generation_config.json`."""
    model_type = merged.module.config.model_type
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
