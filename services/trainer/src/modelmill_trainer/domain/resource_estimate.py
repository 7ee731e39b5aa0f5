"""Memory and time estimates of training and evaluation jobs, from the size of the base's weights.

Weights on disk have 16 bits. A run with a frozen base (or teacher) holds it once, in 32 bits if the
processor has no bfloat16. A full run holds weights, gradients and two moments in 32 bits.
Activations are bounded by packs of 256 positions; libraries take most of the rest.
"""

from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import FULL

GIB = 1 << 30
LIBRARIES_BYTES = 3 * GIB // 2
FROZEN_COPIES = 2
FULL_COPIES = 8
"""Memory as a multiple of the weights on disk."""
EVALUATION_START_SECONDS = 30.0
TOKENS_PER_SECOND = 20.0
"""Generation speed; deliberately low, for a small model beside training on two cores. Not
measured."""


def training_needs(
    choices: HyperParameters, base_bytes: int, teacher_bytes: int = 0
) -> MachineSize:
    """Minimum machine size of a run."""
    memory = needed_memory(choices.method, base_bytes) + FROZEN_COPIES * teacher_bytes
    return MachineSize(cpus=1, memory_bytes=memory)


def needed_memory(method: str, base_bytes: int) -> int:
    """Bytes of memory that a method needs."""
    copies = FULL_COPIES if method == FULL else FROZEN_COPIES
    return LIBRARIES_BYTES + copies * base_bytes


def evaluation_seconds(answers: int, max_new_tokens: int) -> float:
    """Upper estimate of an evaluation's duration: all answers at full length, one after the
    other."""
    return EVALUATION_START_SECONDS + answers * max_new_tokens / TOKENS_PER_SECOND
