"""Memory and time estimates of dataset jobs, from their spec.

File size does not matter for memory: blocks, keys and decisions are on disk
(`pipeline.disk_decider`). Measured peak PSS on Linux with two workers: the job's child 135 MB for
30,000 reviews and 216 MB for 240,000; a worker 171 MB with all stages, 226 MB for rows of 900 KB.
"""

from modelmill_documents.document_blocks import ParseLimits
from modelmill_service_kit.machine_size import MachineSize

from modelmill_data_prep.domain.dataset_plan import DatasetPlan

MB = 10**6

PROCESS_BYTES = 230 * MB
"""Per process: the job's child, and each worker."""

TOKENIZER_BYTES = 300 * MB
"""Additionally per worker, for a vocabulary of 256,000. 56 MB were measured with 49,152 entries;
growth is linear."""

PIPELINE_BYTES = 600 * MB
"""Additionally per worker and spaCy pipeline, by the size of the large ones. Not measured."""

DOCUMENT_BYTES = ParseLimits().memory_bytes
"""Additionally, for the process that reads documents: its limit. Broken ones take 1,012 MiB."""

START_SECONDS = 15.0
BYTES_PER_SECOND = 100_000
"""Deliberately low, for all rules beside other work. Not measured."""


def dataset_needs(plan: DatasetPlan, processes: int, *, has_documents: bool = False) -> MachineSize:
    """Minimum machine size of a job.

    Args:
        plan: The dataset's plan.
        processes: Local worker processes; 0 if the job's child or a cluster transforms the rows.
        has_documents: Whether a document is among the files; one at a time is read.
    """
    of_rows = TOKENIZER_BYTES if plan.tokenize.model else 0
    of_rows += PIPELINE_BYTES * len(plan.entities.spacy_models)
    memory_bytes = PROCESS_BYTES * (1 + processes) + of_rows * max(processes, 1)
    if has_documents:
        memory_bytes += DOCUMENT_BYTES
    return MachineSize(cpus=1, memory_bytes=memory_bytes)


def dataset_seconds(plan: DatasetPlan, size_bytes: int) -> float:
    """Upper estimate of the duration; 0 if unknown.

    Args:
        plan: The dataset's plan.
        size_bytes: Total size of the input files.
    """
    if plan.asks_models or plan.entities.spacy_models:
        return 0.0
    return START_SECONDS + size_bytes / BYTES_PER_SECOND
