"""Kubeflow TrainJobs (`trainer.kubeflow.org/v1alpha1`): manifest, and a minimal API client."""

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

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
TIMEOUT_SECONDS = 30.0
CONFLICT = 409
NOT_FOUND = 404


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


class KubernetesError(RuntimeError):
    """The API server rejected a request or does not answer.

    Args:
        status: HTTP status; 0 if there was no response.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class TrainJobs:
    """Creates, reads and deletes TrainJobs of a namespace."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._address = urlsplit(cluster.address)
        self._token_file = Path(cluster.token_file)
        self._ca_file = cluster.ca_file
        namespace = quote(cluster.namespace, safe="")
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/trainjobs"

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a TrainJob. Idempotent: a name belongs to one run. Raises KubernetesError."""
        try:
            self._ask("POST", self._path, manifest)
        except KubernetesError as error:
            if error.status != CONFLICT:
                raise

    def read(self, name: str) -> dict[str, Any] | None:
        """Read a TrainJob; None if it does not exist. Raises KubernetesError."""
        try:
            return self._ask("GET", f"{self._path}/{quote(name, safe='')}")
        except KubernetesError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def delete(self, name: str) -> None:
        """Delete a TrainJob and its pods, if it exists. Raises KubernetesError."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            self._ask("DELETE", f"{self._path}/{quote(name, safe='')}", options)
        except KubernetesError as error:
            if error.status != NOT_FOUND:
                raise

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection = self._connection()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._token_file.read_text().strip()}",
        }
        try:
            connection.request(
                method, path, json.dumps(dict(body)) if body is not None else None, headers
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise KubernetesError(0, f"the API server does not answer: {error}") from error
        finally:
            connection.close()
        document = _as_json(content)
        if answer.status >= http.client.BAD_REQUEST:
            raise KubernetesError(answer.status, str(document.get("message", answer.reason)))
        return document

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self._ca_file or None)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _as_json(content: bytes) -> dict[str, Any]:
    """The JSON object of a response; empty if it is not one, for example from a proxy."""
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
