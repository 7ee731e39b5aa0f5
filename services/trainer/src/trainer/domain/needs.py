"""What a training run needs of a machine: a first estimate, from the size of the base's weights.

Weights lie on disk in 16 bits. A LoRA run holds them once, in 32 bits where the processor has no
bfloat16; adapters are small beside them. A full run holds weights, gradients and two moments in 32
bits. Activations are bounded by packs of 256 positions; the libraries take most of the rest.
"""

from service_kit.machine_size import MachineSize

from trainer.domain.hyper_parameters import LORA, HyperParameters

GIB = 1 << 30
LIBRARIES_BYTES = 3 * GIB // 2
LORA_COPIES = 2
FULL_COPIES = 8
"""Sizes of the weights on disk."""


def training_needs(choices: HyperParameters, base_bytes: int) -> MachineSize:
    """The smallest machine on which the run is begun."""
    copies = LORA_COPIES if choices.method == LORA else FULL_COPIES
    return MachineSize(cpus=1, memory_bytes=LIBRARIES_BYTES + copies * base_bytes)
