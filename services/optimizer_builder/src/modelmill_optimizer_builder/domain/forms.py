"""Registry of target forms: what each is made from, needs, and refuses.

A form is an entry here and one module in `adapters`, which only a build's child process imports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.machine_size import MachineSize
from modelmill_service_kit.nearest import did_you_mean

from modelmill_optimizer_builder.domain.gguf_models import gguf_refusal
from modelmill_optimizer_builder.domain.group_size import calibrated_groups_refusal
from modelmill_optimizer_builder.domain.onnx_support import onnx_blocks_refusal, onnx_refusal
from modelmill_optimizer_builder.domain.portable_models import (
    packed_groups_refusal,
    packed_weights_refusal,
)
from modelmill_optimizer_builder.domain.pruning import pruning_refusal
from modelmill_optimizer_builder.domain.tensorrt_plan import tensorrt_refusal

ADAPTER = "adapter"
SAFETENSORS = "safetensors"
PRUNED = "pruned"

LIBRARIES_BYTES = 3 << 29


@dataclass(frozen=True, kw_only=True)
class Form:
    """A target form as its orders and builds see it; how it is made is its builder's."""

    name: str
    builder: str
    """ "module:class" in `adapters`; the class is a `TargetForm` of `make_build`."""
    sources: tuple[str, ...] = (ADAPTER, SAFETENSORS)
    """Forms that it is made from."""
    size_share: float
    """Estimate of its bytes, as a share of the bf16 weights."""
    most_share: float = 1.0
    """Its weights must have fewer bytes than this share of those of its source in bf16."""
    weight_copies: int
    """Estimate of its memory: copies of the bf16 weights, besides the libraries."""
    is_calibrated: bool = False
    """Whether it reads training rows and general text."""
    keeps_lossy: bool = False
    """Whether a build that loses more than allowed is stored and marked, not refused."""
    announced: str = ""
    """Form of the version that it becomes; empty for its own name."""
    needs_gpu: bool = False
    """Whether it is built where a GPU of NVIDIA and TensorRT are, and nowhere else."""
    refuses: Callable[[Mapping[str, Any]], str] = lambda _config: ""
    """Why a model of that config.json cannot have this form; empty if it can."""

    @property
    def version_form(self) -> str:
        """Form of the version that is announced."""
        return self.announced or self.name

    def needs(self, weights_bytes: int) -> MachineSize:
        """Estimate the smallest machine for a build.

        Args:
            weights_bytes: Size of the whole model on disk; 0 if only its adapter is known.
        """
        memory = LIBRARIES_BYTES + self.weight_copies * weights_bytes
        return MachineSize(cpus=1, memory_bytes=memory)

    def size_bytes(self, weights_bytes: int) -> int:
        """Estimate the bytes of a build."""
        return int(self.size_share * weights_bytes)

    def refusal(self, config: Mapping[str, Any]) -> str:
        """Why it cannot be made of a model with that config.json; empty if it can."""
        reason = self.refuses(config)
        kind = config.get("model_type", "")
        return reason and f"{self.name} cannot be made of a model of type {kind}: {reason}"


_gguf = partial(Form, weight_copies=4, keeps_lossy=True, refuses=gguf_refusal)
_tensorrt = partial(
    Form,
    # Constants of the graph, and a head that is tied in torch.
    most_share=1.5,
    # Besides the export: the graph in float32, as a file and in ONNX Runtime.
    weight_copies=8,
    keeps_lossy=True,
    refuses=tensorrt_refusal,
)
_ALL = (
    Form(
        name="openvino-int8",
        builder="openvino_int8:OpenVinoInt8",
        size_share=0.5,
        # An export holds float32 weights and its output in memory; the file has 16-bit weights.
        weight_copies=4,
    ),
    Form(
        name="openvino-int4",
        builder="openvino_int4:OpenVinoInt4",
        size_share=0.38,
        # Besides the export: activations of all layers and candidates for their scales.
        weight_copies=6,
        is_calibrated=True,
        keeps_lossy=True,
        refuses=calibrated_groups_refusal,
    ),
    Form(
        name="onnx-fp32",
        builder="onnx_build:OnnxFp32",
        size_share=2.0,
        # Positions of the rotary embedding are written out besides.
        most_share=2.25,
        # The export holds the weights as they are read, and as float32.
        weight_copies=5,
        refuses=onnx_refusal,
    ),
    Form(
        name="onnx-int8",
        builder="onnx_build:OnnxInt8",
        size_share=0.6,
        # Besides the export: float32 weights and what they become.
        weight_copies=6,
        refuses=onnx_blocks_refusal,
    ),
    Form(
        name="onnx-int4",
        builder="onnx_build:OnnxInt4",
        size_share=0.45,
        weight_copies=6,
        keeps_lossy=True,
        refuses=onnx_blocks_refusal,
    ),
    Form(
        name="compressed-tensors-int8",
        builder="compressed_tensors_forms:CompressedTensorsInt8",
        size_share=0.6,
        weight_copies=5,
        keeps_lossy=True,
        refuses=packed_weights_refusal,
    ),
    Form(
        name="compressed-tensors-int4",
        builder="compressed_tensors_forms:CompressedTensorsInt4",
        size_share=0.43,
        weight_copies=5,
        keeps_lossy=True,
        refuses=packed_groups_refusal,
    ),
    # Norms and biases are float32.
    _gguf(name="gguf-bf16", builder="gguf_forms:GgufBf16", size_share=1.0, most_share=1.05),
    _gguf(name="gguf-q8_0", builder="gguf_forms:GgufQ8", size_share=0.54),
    _gguf(name="gguf-q4_1", builder="gguf_forms:GgufQ4", size_share=0.36),
    _gguf(name="gguf-q4_0", builder="gguf_forms:GgufQ4Symmetric", size_share=0.34),
    _tensorrt(name="tensorrt-onnx", builder="tensorrt_forms:TensorRtOnnx", size_share=1.0),
    _tensorrt(
        name="tensorrt-engine",
        builder="tensorrt_forms:TensorRtEngine",
        size_share=2.0,
        needs_gpu=True,
    ),
    Form(
        name=PRUNED,
        builder="pruned_form:PrunedForm",
        announced=SAFETENSORS,
        # At most: the order says how much goes.
        size_share=1.0,
        # Two modules in float32, or one and its reference.
        weight_copies=6,
        is_calibrated=True,
        keeps_lossy=True,
        refuses=pruning_refusal,
    ),
)
FORMS: Mapping[str, Form] = {form.name: form for form in _ALL}


def form_errors(name: str) -> list[str]:
    """That there is no such form, and which there are."""
    if name in FORMS:
        return []
    names = " or ".join(map(repr, FORMS))
    return [f"target_form {name[:64]!r} is unknown.{did_you_mean(name, FORMS)} Use {names}"]


def form_named(name: str) -> Form:
    """The form of that name.

    Raises:
        InvalidInputError: There is none; lists those that there are.
    """
    if errors := form_errors(name):
        raise InvalidInputError(errors)
    return FORMS[name]
