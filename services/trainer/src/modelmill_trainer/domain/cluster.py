"""Kubernetes cluster with Kubeflow Trainer, on which ranks of a distributed run are started."""

from dataclasses import dataclass

from modelmill_trainer.domain.json_value import JsonValue


@dataclass(frozen=True, kw_only=True)
class KubernetesCluster(JsonValue):
    """Access to the cluster, and the resources of one rank."""

    address: str
    """Of the API server, "https://host:port"."""
    namespace: str
    token_file: str
    """The service account's token; read for each request, since it is renewed."""
    ca_file: str
    """Certificates that the API server's is checked against; empty for the system's."""
    runtime: str
    """A ClusterTrainingRuntime of kind torch."""
    image: str
    """The trainer's image, with the extra `ranks`."""
    claim: str
    """A PersistentVolumeClaim that many pods can write to; the worker has it, too."""
    mount: str
    """Where it is mounted, in the worker and in each pod: artifacts and scratch lie below it."""
    ranks_per_node: int
    """Maximum ranks of a pod."""
    rank_cpus: int
    """Cores of a rank."""
    rank_memory_bytes: int = 0
    """Memory of a rank; depends on the size of the base model."""

    def nodes_for(self, ranks: int) -> tuple[int, int]:
        """Pods, and ranks per pod: the largest allowed divisor of `ranks`."""
        each = max(n for n in range(1, self.ranks_per_node + 1) if ranks % n == 0)
        return ranks // each, each
