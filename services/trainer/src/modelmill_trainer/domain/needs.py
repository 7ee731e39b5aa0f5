"""What a training run needs of a machine: a first estimate, from the size of the base's weights.

Weights lie on disk in 16 bits. A run that leaves the base as it is holds it once, in 32 bits where
the processor has no bfloat16; what it learns is small beside that. A full run holds weights,
gradients and two moments in 32 bits. A teacher is held as such a base. Activations are bounded by
packs of 256 positions; the libraries take most of the rest.
"""

from modelmill_service_kit.machine_size import MachineSize

from modelmill_trainer.domain.hyper_parameters import HyperParameters
from modelmill_trainer.domain.methods import FULL

GIB = 1 << 30
LIBRARIES_BYTES = 3 * GIB // 2
FROZEN_COPIES = 2
FULL_COPIES = 8
"""Sizes of the weights on disk."""
EVALUATION_START_SECONDS = 30.0
TOKENS_PER_SECOND = 20.0
"""Of an answer; meant to be too few for a small model on two cores that train. Not measured."""


def training_needs(
    choices: HyperParameters, base_bytes: int, teacher_bytes: int = 0
) -> MachineSize:
    """The smallest machine on which the run is begun."""
    memory = needed_memory(choices.method, base_bytes) + FROZEN_COPIES * teacher_bytes
    return MachineSize(cpus=1, memory_bytes=memory)


def needed_memory(method: str, base_bytes: int) -> int:
    """Bytes of memory for a run of a method."""
    copies = FULL_COPIES if method == FULL else FROZEN_COPIES
    return LIBRARIES_BYTES + copies * base_bytes


def evaluation_seconds(answers: int, max_new_tokens: int) -> float:
    """How long an evaluation takes at most, as it is expected: each answer as long as it may be,
    and one after the other."""
    return EVALUATION_START_SECONDS + answers * max_new_tokens / TOKENS_PER_SECOND
