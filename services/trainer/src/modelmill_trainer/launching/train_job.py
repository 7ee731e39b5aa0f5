"""Manifest of a distributed run as a Kubeflow TrainJob (`trainer.kubeflow.org/v1alpha1`)."""

from typing import Any

from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.training.distributed.process_names import FOLDER, RANK_MODULE

GROUP = "trainer.kubeflow.org"
VERSION = "v1alpha1"
MANAGED_BY = "modelmill"
NODE = "node"
"""Name of both the replicated job and its container in torch runtimes."""
VOLUME = "modelmill"
GRACE_SECONDS = 60
ENDS = {"Complete": "complete", "Failed": "failed"}


def train_job(name: str, cluster: KubernetesCluster, *, ranks: int, channel: str) -> dict[str, Any]:
    """Build the manifest.

    Args:
        name: A DNS label.
        channel: Folder of the message files, on the shared volume.
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
                # World size and rendezvous come from the runtime's PET_ variables.
                "command": ["torchrun", "--max-restarts", "0", "-m", RANK_MODULE],
                "numNodes": nodes,
                "numProcPerNode": each,
                "resourcesPerNode": {"requests": resources, "limits": resources},
                "env": [
                    {"name": FOLDER, "value": channel},
                    {"name": "HF_HUB_OFFLINE", "value": "1"},
                    {"name": "OMP_NUM_THREADS", "value": str(cluster.rank_cpus)},
                ],
            },
            "runtimePatches": [_patch(cluster)],
        },
    }


def how_ended(job: dict[str, Any]) -> str | None:
    """Why a TrainJob ended, from its conditions; None while it runs."""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] in ENDS and condition["status"] == "True":
            reason = condition.get("message") or condition.get("reason", "")
            return f"TrainJob {job['metadata']['name']} is {ENDS[condition['type']]}: {reason}"
    return None


def _resources(cluster: KubernetesCluster, ranks: int) -> dict[str, str]:
    return {
        "cpu": str(cluster.rank_cpus * ranks),
        "memory": str(cluster.rank_memory_bytes * ranks),
    }


def _patch(cluster: KubernetesCluster) -> dict[str, Any]:
    """Pod patch: mounts the shared volume."""
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
