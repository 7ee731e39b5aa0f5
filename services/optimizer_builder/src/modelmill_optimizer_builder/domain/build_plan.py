"""What may be built, from what, and what a spec must say."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from modelmill_service_kit.machine_size import MachineSize

OPENVINO_INT8 = "openvino-int8"
TARGET_FORMS = (OPENVINO_INT8,)
"""Forms that can be made; each has one module in `adapters`, chosen in `child`."""

ADAPTER = "adapter"
SAFETENSORS = "safetensors"
SOURCE_FORMS = (ADAPTER, SAFETENSORS)

DEFAULT_MAX_ACCURACY_LOSS = 0.02

LIBRARIES_BYTES = 3 << 29
WEIGHT_COPIES = 4
"""An export holds the weights in 32 bits and what it makes of them; on disk they have 16."""


@dataclass(frozen=True)
class Version:
    """A model version, as far as a decision about builds needs it."""

    version_id: str
    form: str
    job_id: str
    """Job that made it; empty for an import."""
    unmerged_method: str = ""
    """How it was trained, where that changed no weights."""


def spec_errors(*, source_version_id: str, target_form: str, max_accuracy_loss: float) -> list[str]:
    """Everything that is wrong with a spec, whatever exists."""
    errors = []
    if not source_version_id:
        errors.append("source_version_id is missing")
    if target_form not in TARGET_FORMS:
        errors.append(f"target_form {target_form!r} is none of {_either(TARGET_FORMS)}")
    if not isfinite(max_accuracy_loss) or not 0 <= max_accuracy_loss <= 1:
        errors.append(f"max_accuracy_loss must be within 0 and 1, got {max_accuracy_loss:g}")
    return errors


def source_errors(version: Version) -> list[str]:
    """Why nothing can be built from this version."""
    if version.unmerged_method:
        return [
            f"version {version.version_id} was trained by method {version.unmerged_method}, which "
            "changes no weights that a build could hold. Serve the adapter itself, or train with "
            "lora or full"
        ]
    if version.form in SOURCE_FORMS:
        return []
    return [
        f"version {version.version_id} is of form {version.form!r}, "
        f"builds are made from {_either(SOURCE_FORMS)}"
    ]


def build_needs(weights_bytes: int) -> MachineSize:
    """The smallest machine on which a build is begun: a first estimate.

    Args:
        weights_bytes: of the whole model on disk; 0 when only its adapter is known.
    """
    return MachineSize(cpus=1, memory_bytes=LIBRARIES_BYTES + WEIGHT_COPIES * weights_bytes)


def _either(words: Sequence[str]) -> str:
    return " or ".join(repr(word) for word in words)
