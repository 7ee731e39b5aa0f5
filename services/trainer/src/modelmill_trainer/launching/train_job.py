"""A divided run as a TrainJob of Kubeflow Trainer (`trainer.kubeflow.org/v1alpha1`)."""

from typing import Any

from modelmill_trainer.domain.cluster import Cluster
from modelmill_trainer.training.distributed.process_names import FOLDER, RANK_MODULE

GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"
MANAGED_BY = "modelmill"
NODE = "node"
"""Of the runtimes of kind torch: the replicated job, and its container."""
VOLUME = "modelmill"
GRACE_SECONDS = 60
ENDS = {"Complete": "complete", "Failed": "failed"}


def train_job(name: str, cluster: Cluster, *, ranks: int, links: str) -> dict[str, Any]:
    """The manifest.

    Args:
        name: At most 63 of a-z, 0-9 and "-", from a letter on.
        links: The folder at which ranks report, on the shared volume.
    """
    nodes, each = cluster.nodes_for(ranks)
    resources = _resources(cluster, each)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": {"app.kubernetes.io/managed-by": MANAGED_BY},
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": GROUP,
                "kind": "ClusterTrainingRuntime",
                "name": cluster.runtime,
            },
            "trainer": {
                "image": cluster.image,
                # How many there are and where they meet, the runtime says by PET_ variables.
                "command": ["torchrun", "--max-restarts", "0", "-m", RANK_MODULE],
                "numNodes": nodes,
                "numProcPerNode": each,
                "resourcesPerNode": {"requests": resources, "limits": resources},
                "env": [
                    {"name": FOLDER, "value": links},
                    {"name": "HF_HUB_OFFLINE", "value": "1"},
                    {"name": "OMP_NUM_THREADS", "value": str(cluster.rank_cpus)},
                ],
            },
            "runtimePatches": [_patch(cluster)],
        },
    }


def how_ended(job: dict[str, Any]) -> str | None:
    """In a few words, from what the API server says of a job; None while it runs."""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] in ENDS and condition["status"] == "True":
            reason = condition.get("message") or condition.get("reason", "")
            return f"TrainJob {job['metadata']['name']} is {ENDS[condition['type']]}: {reason}"
    return None


def _resources(cluster: Cluster, ranks: int) -> dict[str, str]:
    return {
        "cpu": str(cluster.rank_cpus * ranks),
        "memory": str(cluster.rank_memory_bytes * ranks),
    }


def _patch(cluster: Cluster) -> dict[str, Any]:
    """What the runtime does not have: the volume, and no door to the API server."""
    pod = {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": cluster.claim}}],
        "containers": [
            {"name": NODE, "volumeMounts": [{"name": VOLUME, "mountPath": cluster.mount}]}
        ],
    }
    job = {"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}
    return {
        "manager": f"{MANAGED_BY}.trainer/launcher",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
    }
