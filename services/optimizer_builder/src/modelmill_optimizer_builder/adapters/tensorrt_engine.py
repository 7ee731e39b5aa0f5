"""Runs a TensorRT engine for its checks; only where a GPU and TensorRT are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from modelmill_optimizer_builder.adapters.merged_model import Logits
from modelmill_optimizer_builder.adapters.standard_onnx_check import Cache, step_inputs

PROMPT, TOKEN = 0, 1
"""Numbers of the plan's profiles."""


class TensorRtReader:
    """An engine as `standard_onnx_check.CachedReader`; torch holds what it reads and writes."""

    def __init__(self, engine: Path) -> None:
        import tensorrt as trt

        self._library: Any = trt
        self._runtime: Any = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine: Any = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        self._context: Any = self._engine.create_execution_context()
        cuda: Any = torch.cuda
        self._stream: Any = cuda.Stream()
        names = [self._engine.get_tensor_name(n) for n in range(self._engine.num_io_tensors)]
        self._outputs = [name for name in names if self._is_output(name)]
        self._cached = [name for name in names if name.startswith("past_key_values.")]

    def _is_output(self, name: str) -> bool:
        mode = self._engine.get_tensor_mode(name)
        return bool(mode == self._library.TensorIOMode.OUTPUT)

    def step(self, tokens: Sequence[int], cache: Cache | None) -> tuple[Logits, Cache]:
        past = cache or {name: self._empty(name) for name in self._cached}
        length = next(iter(past.values())).shape[2]
        fed = {
            name: torch.from_numpy(values).cuda()
            for name, values in step_inputs(tokens, length).items()
        }
        profile = TOKEN if length and len(tokens) == 1 else PROMPT
        self._context.set_optimization_profile_async(profile, self._stream.cuda_stream)
        found = self._run(fed | dict(past))
        logits: Logits = found.pop("logits")[0].float().cpu().numpy()
        return logits, {name.replace("present", "past_key_values"): found[name] for name in found}

    def _empty(self, name: str) -> Any:
        shape = self._engine.get_tensor_shape(name)
        return torch.zeros(1, shape[1], 0, shape[3], dtype=torch.bfloat16, device="cuda")

    def _run(self, fed: Cache) -> dict[str, Any]:
        held = []
        for name, tensor in fed.items():
            self._context.set_input_shape(name, tuple(tensor.shape))
            # An empty tensor has no address, and TensorRT wants one.
            held.append(tensor.contiguous() if tensor.numel() else torch.zeros(1, device="cuda"))
            self._context.set_tensor_address(name, held[-1].data_ptr())
        found = {}
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            found[name] = torch.empty(shape, dtype=torch.bfloat16, device="cuda")
            self._context.set_tensor_address(name, found[name].data_ptr())
        torch.cuda.synchronize()
        self._context.execute_async_v3(self._stream.cuda_stream)
        self._stream.synchronize()
        return found
