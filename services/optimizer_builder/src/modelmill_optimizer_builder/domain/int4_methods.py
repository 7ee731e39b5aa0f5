"""Ways to choose int4 weights, and which of them compete in a build."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Int4Method:
    """What NNCF is told; all read the same calibration."""

    name: str
    awq: bool = False
    """Activation-aware scaling: of channels between two layers."""
    scale_estimation: bool = False
    """Scales of groups by the outputs of their layer."""
    gptq: bool = False
    """Weights one after another, each making up for the errors before it."""
    compensation: bool = False
    """Codes of our own by GPTQ that makes up for errors of earlier layers, too; the others are
    NNCF's."""
    lora_correction: bool = False
    """A product of two narrow matrices besides, which makes up for part of the error."""
    ratio: float = 1.0
    """Share of the layers' weights that are int4; the others are int8."""
    group_size: int = 0
    """0 for the form's own."""
    symmetric: bool = False
    all_layers: bool = False
    """Whether embedding and output projection are among the layers; else they are int8."""

    @property
    def is_calibrated(self) -> bool:
        """Whether NNCF reads samples for it."""
        return any((self.awq, self.scale_estimation, self.gptq, self.lora_correction))

    @property
    def words(self) -> str:
        """How scales and codes are found."""
        steps = {
            "AWQ": self.awq,
            "scale estimation": self.scale_estimation,
            "GPTQ": self.gptq,
            "LoRA correction": self.lora_correction,
            "compensation of errors by layer": self.compensation,
        }
        return " and ".join(step for step, is_taken in steps.items() if is_taken) or "rounding"


METHODS = (
    Int4Method(name="awq-se-.8", awq=True, scale_estimation=True, ratio=0.8),
    Int4Method(name="compensation-.8", compensation=True, ratio=0.8),
    Int4Method(name="awq-se", awq=True, scale_estimation=True),
    Int4Method(name="compensation", compensation=True),
    Int4Method(name="rounding"),
    Int4Method(name="se", scale_estimation=True),
    Int4Method(name="awq", awq=True),
    Int4Method(name="gptq", gptq=True),
    Int4Method(name="awq-se-gptq", awq=True, scale_estimation=True, gptq=True),
    Int4Method(name="awq-se-lora", awq=True, scale_estimation=True, lora_correction=True),
    Int4Method(name="awq-se-sym", awq=True, scale_estimation=True, symmetric=True),
    Int4Method(name="awq-se-16", awq=True, scale_estimation=True, group_size=16),
    Int4Method(name="awq-se-64", awq=True, scale_estimation=True, group_size=64),
    Int4Method(name="awq-se-.6", awq=True, scale_estimation=True, ratio=0.6),
    Int4Method(name="awq-se-all", awq=True, scale_estimation=True, all_layers=True),
    Int4Method(name="awq-se-all-.8", awq=True, scale_estimation=True, all_layers=True, ratio=0.8),
    Int4Method(name="compensation-all", compensation=True, all_layers=True),
    Int4Method(name="compensation-all-.8", compensation=True, all_layers=True, ratio=0.8),
)
"""All that `tests.bench.forms` can measure."""
COMPETING = ("awq-se-.8", "compensation-.8")
"""Names of those that every build tries; the first is taken where nothing judges them."""


def method_named(name: str) -> Int4Method:
    """The method of that name.

    Raises:
        KeyError: There is none.
    """
    return {method.name: method for method in METHODS}[name]
