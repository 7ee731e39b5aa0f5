"""Candidates of a search: the source itself, and forms that a service here runs."""

from collections.abc import Mapping
from typing import Any

from modelmill_service_kit.machine_size import MachineSize

from modelmill_optimizer_builder.domain.forms import FORMS, Form
from modelmill_optimizer_builder.domain.group_size import text_config

RUNTIMES = ("openvino", "onnx")
"""How the names of forms begin that an inference service runs."""
GIB = 2**30


def served_forms() -> list[Form]:
    """Forms that a service here runs, in the order of the registry."""
    return [form for form in FORMS.values() if form.name.partition("-")[0] in RUNTIMES]


def refused_forms(
    config: Mapping[str, Any], weights_bytes: int, machine: MachineSize
) -> dict[str, str]:
    """Forms that are no candidates for a model of that config.json on this machine, and why."""
    found = {}
    for form in served_forms():
        needs = form.needs(weights_bytes).memory_bytes
        if reason := form.refusal(config):
            found[form.name] = reason
        elif needs > machine.memory_bytes:
            found[form.name] = (
                f"its build needs {needs / GIB:.1f} GiB of memory, and the worker has "
                f"{machine.memory_bytes / GIB:.1f}"
            )
    return found


def context_tokens(config: Mapping[str, Any]) -> int:
    """The longest text that a model of that config.json reads; 0 if it does not say."""
    longest = text_config(config).get("max_position_embeddings")
    return longest if isinstance(longest, int) else 0
