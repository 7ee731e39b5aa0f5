"""Job kinds, the service that owns each, and ids of what jobs make.

An id of what a job makes is known as soon as the job's is: it is derived from it.
"""

from modelmill_bus.ids import derived_id

IMPORT = "import"
DATASET = "dataset"
TRAIN = "train"
EVALUATE = "evaluate"
OPTIMIZE = "optimize"
BATCH = "batch"
KINDS = (IMPORT, DATASET, TRAIN, EVALUATE, OPTIMIZE, BATCH)

OWNER_OF = {
    DATASET: "data-prep",
    TRAIN: "trainer",
    EVALUATE: "trainer",
    OPTIMIZE: "optimizer-builder",
    BATCH: "gateway",
}
"""The service that takes and does jobs of a kind; the other kinds have none yet."""


def work_consumer(service: str, kind: str) -> str:
    """Name of the durable consumer that the workers of a service share."""
    return f"{service}-work-{kind}"


def prefix_of(kind: str) -> str:
    """What the ids of a kind's jobs begin with."""
    return {TRAIN: "ftjob", BATCH: "batch"}.get(kind, "job")


def dataset_id_of(job_id: str) -> str:
    """The id of the dataset that a job of kind dataset makes."""
    return derived_id("ds", job_id)


def version_id_of(job_id: str, form: str) -> str:
    """The id of the model version of this form that a job of kind train or optimize makes."""
    return derived_id("mv", job_id, form)
