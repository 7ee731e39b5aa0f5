"""Exports a merged model to ONNX of standard operators, with the cache as inputs and outputs.

GenAI's graphs have operators of its own, which TensorRT and others do not know. Weights and
products are bf16 where they are in torch, and norms and softmax float32.
"""

import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from modelmill_optimizer_builder.domain.build_plan import NotExportableError
from modelmill_optimizer_builder.domain.tensorrt_plan import PAST, SEQUENCES, TOKENS, TOTAL

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
OPSET = 18
EXAMPLE = {SEQUENCES: 2, TOKENS: 3, PAST: 4, TOTAL: 7}
"""Sizes of the example that is traced, all different, so that none is taken for another."""
REASON_CHARACTERS = 300


class CachedDecoder(torch.nn.Module):
    """One step: logits of new tokens, and the cache with them, from the cache before."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past: Sequence[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, ...]:
        cache: Any = DynamicCache([tuple(layer) for layer in past])
        logits = self.module(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        ).logits
        kept = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        return logits, *kept


def export_standard(module: Any, target: Path) -> None:
    """Write `model.onnx` and `model.onnx.data` of a causal language model.

    Raises:
        NotExportableError: torch cannot write this architecture.
    """
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")  # as plain products and a softmax
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # of what the exporter itself uses
            _export(module, target / MODEL_FILE)
    except (MemoryError, OSError):
        raise  # says nothing of the architecture
    except Exception as error:  # the exporter's errors have many classes
        reason = " ".join(str(error).split())[:REASON_CHARACTERS] or type(error).__name__
        kind = module.config.model_type
        raise NotExportableError(
            f"torch cannot export a model of type {kind} to ONNX: {reason}"
        ) from error
    finally:
        module.set_attn_implementation(before)


def _export(module: Any, path: Path) -> None:
    heads, size, layers = _cache_shape(module.config)
    named = [f"{index}.{part}" for index in range(layers) for part in ("key", "value")]
    new, whole = {0: SEQUENCES, 1: TOKENS}, {0: SEQUENCES, 1: TOTAL}
    cached = {0: SEQUENCES, 2: PAST}
    torch.onnx.export(
        CachedDecoder(module).eval(),
        _example(heads, size, layers, next(module.parameters()).dtype),
        path,
        input_names=[
            *("input_ids", "attention_mask", "position_ids"),
            *(f"past_key_values.{name}" for name in named),
        ],
        output_names=["logits", *(f"present.{name}" for name in named)],
        dynamic_shapes=(new, whole, new, [(cached, cached)] * layers),
        opset_version=OPSET,
        dynamo=True,
        external_data=True,
        verbose=False,
    )


def _cache_shape(config: Any) -> tuple[int, int, int]:
    """Heads of keys, size of each, and layers."""
    heads = int(config.num_attention_heads)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    return kept, size, int(config.num_hidden_layers)


def _example(heads: int, size: int, layers: int, dtype: torch.dtype) -> tuple[Any, ...]:
    sequences, tokens, past = EXAMPLE[SEQUENCES], EXAMPLE[TOKENS], EXAMPLE[PAST]
    ids = torch.ones(sequences, tokens, dtype=torch.int64)
    mask = torch.ones(sequences, past + tokens, dtype=torch.int64)
    positions = torch.arange(past, past + tokens).expand(sequences, tokens).contiguous()
    cache = [
        (
            torch.zeros(sequences, heads, past, size, dtype=dtype),
            torch.zeros(sequences, heads, past, size, dtype=dtype),
        )
        for _ in range(layers)
    ]
    return ids, mask, positions, cache
