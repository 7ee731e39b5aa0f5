"""What making a dataset needs of a machine: an estimate from what its spec asks for.

Files do not count, however large: blocks, keys and decisions lie on disk (`pipeline.disk_decider`),
and a process holds a few blocks. Measured was the most that one process held (PSS), on Linux with
two workers: of 30,000 and of 240,000 reviews the job's own process 135 and 216 MB, a worker 171 MB
with all transforms, filters, rules and near duplicates; of rows of 900 KB a worker 226 MB.
"""

from modelmill_service_kit.machine_size import MachineSize

from modelmill_data_prep.domain.dataset_plan import DatasetPlan

MB = 10**6

PROCESS_BYTES = 230 * MB
"""The job's own process, and each that rows pass through."""

TOKENIZER_BYTES = 300 * MB
"""More in each that rows pass through, for a vocabulary of 256,000: 56 MB were measured with
49,152 entries, and it grows with them."""

PIPELINE_BYTES = 600 * MB
"""The same for a spaCy pipeline, by the size of the large ones; not measured."""

START_SECONDS = 15.0
BYTES_PER_SECOND = 100_000
"""Of a file; meant to be too few, with every rule on and beside other work. Not measured."""


def dataset_needs(plan: DatasetPlan, processes: int) -> MachineSize:
    """The smallest machine on which the job is begun.

    Args:
        plan: Of the dataset.
        processes: Of this machine that rows pass through beside the job's own; 0 means that they
            pass through the job's own, or through those of a cluster.
    """
    of_rows = TOKENIZER_BYTES if plan.tokenize.model else 0
    of_rows += PIPELINE_BYTES * len(plan.entities.spacy_models)
    memory_bytes = PROCESS_BYTES * (1 + processes) + of_rows * max(processes, 1)
    return MachineSize(cpus=1, memory_bytes=memory_bytes)


def dataset_seconds(plan: DatasetPlan, size_bytes: int) -> float:
    """How long it takes at most, as it is expected; 0 where nobody knows.

    Args:
        plan: Of the dataset.
        size_bytes: Of the files that are read.
    """
    if plan.asks_models or plan.entities.spacy_models:
        return 0.0
    return START_SECONDS + size_bytes / BYTES_PER_SECOND
