"""Creates the engine kinds that are configured and installed."""

from typing import Any

from modelmill_inference.adapters import onnx, transformers, vllm
from modelmill_inference.adapters.onnx import OnnxKind, OnnxOptions
from modelmill_inference.adapters.openvino import OpenVinoKind, PipelineOptions
from modelmill_inference.adapters.spare_child import SpareChild
from modelmill_inference.adapters.transformers import TransformersKind, TransformersOptions
from modelmill_inference.adapters.vllm import VllmKind
from modelmill_inference.adapters.vllm_server import VllmOptions
from modelmill_inference.engine import EngineKind
from modelmill_inference.settings import Settings


def spare_child(settings: Settings) -> SpareChild | None:
    """A pre-warmed process of the transformers engine, whose imports take seconds."""
    wanted = settings.transformers_spare and transformers.is_installed()
    return SpareChild(transformers.MODULE) if wanted else None


def engine_kinds(settings: Settings, spare: SpareChild | None = None) -> list[EngineKind]:
    """Engine kinds in order of preference: the first that can run a form is used."""
    kinds: list[EngineKind] = []
    if settings.triton_url:
        kinds.append(_triton_kind(settings))
    kinds.append(OpenVinoKind(pipeline_options(settings)))
    if onnx.is_installed():
        kinds.append(OnnxKind(onnx_options(settings)))
    if settings.vllm_url or settings.vllm_command:
        kinds.append(VllmKind(vllm_options(settings)))
    if transformers.is_installed():
        kinds.append(TransformersKind(transformers_options(settings), spare=spare))
    return kinds


EXPORTED = {
    "gguf-": "it is for Ollama and llama.cpp: `mill models export` writes it with a Modelfile, and"
    " `ollama create NAME -f Modelfile` takes it",
    "tensorrt-": "it is for TensorRT: `mill models export` writes it with its build plan, and"
    " `python build.py` builds the engine where a GPU of NVIDIA and TensorRT are",
}
"""How to run forms that no engine here runs, by how their names begin."""


def missing_kinds(settings: Settings) -> dict[str, str]:
    """What to install or run, by how the name of a form begins that no engine here runs."""
    hints = dict(EXPORTED)
    if not transformers.is_installed():
        hints[transformers.FORM] = transformers.HOW_TO_GET
    if not onnx.is_installed():
        hints |= dict.fromkeys(onnx.FORMS, onnx.HOW_TO_GET)
    if not (settings.vllm_url or settings.vllm_command):
        hints[vllm.PACKED] = vllm.HOW_TO_GET
    return hints


def _triton_kind(settings: Settings) -> EngineKind:
    # Imported on demand: the client imports slowly.
    from modelmill_inference.adapters.triton import TritonAddress, TritonKind

    token = settings.triton_token.get_secret_value()
    address = TritonAddress(settings.triton_url, token, settings.triton_roots)
    return TritonKind(address, pipeline_options(settings), settings.triton_forms)


def pipeline_options(settings: Settings) -> PipelineOptions:
    """Options of the openvino engine."""
    return PipelineOptions(
        device=settings.engine_device,
        cache_gigabytes=settings.engine_cache_gigabytes,
        max_sequences=settings.engine_max_sequences,
        prefix_cache=settings.engine_prefix_cache,
        prompt_lookup=settings.engine_prompt_lookup,
        threads=settings.engine_threads,
        properties=settings.engine_properties,
        load_seconds=settings.engine_load_seconds,
        hang_seconds=settings.engine_hang_seconds,
        piece_seconds=settings.engine_piece_seconds,
    )


def onnx_options(settings: Settings) -> OnnxOptions:
    """Options of the onnx engine."""
    return OnnxOptions(**_round_robin_options(settings))


def transformers_options(settings: Settings) -> TransformersOptions:
    """Options of the transformers engine."""
    return TransformersOptions(
        device=settings.transformers_device,
        dtype=settings.transformers_dtype,
        **_round_robin_options(settings),
    )


def _round_robin_options(settings: Settings) -> dict[str, Any]:
    return {
        "threads": settings.engine_threads,
        "cache_bytes": settings.engine_cache_gigabytes << 30,
        "load_seconds": settings.engine_load_seconds,
        "hang_seconds": settings.engine_hang_seconds,
        "piece_seconds": settings.engine_piece_seconds,
    }


def vllm_options(settings: Settings) -> VllmOptions:
    """Options of the vllm engine."""
    return VllmOptions(
        url=settings.vllm_url,
        key=settings.vllm_key.get_secret_value(),
        command=settings.vllm_command,
        cache_gigabytes=settings.engine_cache_gigabytes,
        adapters=settings.vllm_adapters,
        adapter_rank=settings.vllm_adapter_rank,
        load_seconds=settings.engine_load_seconds,
        hang_seconds=settings.engine_hang_seconds,
    )
