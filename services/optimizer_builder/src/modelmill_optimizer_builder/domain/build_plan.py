"""Validates build specs: target forms, allowed sources and limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from modelmill_service_kit.machine_size import MachineSize

OPENVINO_INT8 = "openvino-int8"
TARGET_FORMS = (OPENVINO_INT8,)
"""Supported forms; each has one module in `adapters`, chosen in `child`."""

ADAPTER = "adapter"
SAFETENSORS = "safetensors"
SOURCE_FORMS = (ADAPTER, SAFETENSORS)

DEFAULT_MAX_ACCURACY_LOSS = 0.02

LIBRARIES_BYTES = 3 << 29
WEIGHT_COPIES = 4
"""An export holds float32 weights and its output in memory; the file has 16-bit weights."""


@dataclass(frozen=True)
class SourceVersion:
    """Source of a build."""

    version_id: str
    form: str
    job_id: str
    """Training job; empty for an import."""
    unmerged_method: str = ""
    """Training method that changes no weights, such as prefix; else empty."""


def spec_errors(*, source_version_id: str, target_form: str, max_accuracy_loss: float) -> list[str]:
    """Errors of a spec that need no lookup."""
    errors = []
    if not source_version_id:
        errors.append("source_version_id is missing")
    if target_form not in TARGET_FORMS:
        errors.append(f"target_form {target_form!r} is unknown. Use {_either(TARGET_FORMS)}")
    if not isfinite(max_accuracy_loss) or not 0 <= max_accuracy_loss <= 1:
        errors.append(f"max_accuracy_loss must be within 0 and 1, got {max_accuracy_loss:g}")
    return errors


def source_errors(version: SourceVersion) -> list[str]:
    """Reasons why nothing can be built from this version."""
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
        f"which cannot be built from. Use {_either(SOURCE_FORMS)}"
    ]


def build_needs(weights_bytes: int) -> MachineSize:
    """Estimate the smallest machine for a build.

    Args:
        weights_bytes: Size of the whole model on disk; 0 if only its adapter is known.
    """
    return MachineSize(cpus=1, memory_bytes=LIBRARIES_BYTES + WEIGHT_COPIES * weights_bytes)


def _either(words: Sequence[str]) -> str:
    return " or ".join(repr(word) for word in words)


class NotExportableError(ValueError):
    """The exporter cannot write this architecture; the message says which, and why."""


class NotMergeableError(ValueError):
    """The adapter does not change weights; the message says what it is."""
