"""What the trainer reads from its environment."""

from pathlib import Path
from typing import Literal, Self

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from modelmill_trainer.domain.cluster import Cluster
from modelmill_trainer.domain.limits import Price

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Settings(WorkerSettings):
    """Those of every worker, and what a training process may take of the machine."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    threads: int = Field(default=0, ge=0)
    """Threads of a training process; 0 for one a core. Below the cores when `worker_slots` is more
    than 1, or the processes wait for each other at every operation."""

    price_per_hour: float = Field(default=0.0, ge=0)
    """Of one core, or of one GPU where there is one; 0 when nobody is charged."""

    currency: str = ""
    """Of the price, as people shall read it."""

    seconds_between_interruptions: float = Field(default=3600.0, gt=0)
    """How long a worker lives on average; says how often a run saves its state. Spot machines live
    less long than others."""

    inference_address: str = ""
    """Of the inference service, which evaluations ask; empty: they are refused."""

    inference_at_once: int = Field(default=8, gt=0)
    """Questions of one evaluation to models that are open at any time."""

    mlflow_url: str = ""
    """MLflow server that runs are shown on, for example "http://127.0.0.1:5000"; empty for none."""

    mlflow_token: SecretStr = SecretStr("")
    """Bearer token that it wants; empty for none."""

    mlflow_experiment: str = "modelmill"
    """Experiment there; made when it is not."""

    tensorboard_folder: Path | None = None
    """Folder that TensorBoard watches; a job has a folder in it."""

    @property
    def price(self) -> Price:
        """What is asked for the machine."""
        return Price(per_hour=self.price_per_hour, currency=self.currency)

    launcher: Literal["local", "kubernetes"] = "local"
    """Where the ranks of divided runs are: on the worker, or on a cluster with Kubeflow Trainer."""

    kubernetes_address: str = "https://kubernetes.default.svc"
    """The API server."""

    kubernetes_namespace: str = "default"
    """Of the TrainJobs."""

    kubernetes_token_file: Path = SERVICE_ACCOUNT / "token"
    """Of a service account that may create, get and delete TrainJobs there."""

    kubernetes_ca_file: Path = SERVICE_ACCOUNT / "ca.crt"
    """What the API server's certificate is checked against."""

    kubernetes_runtime: str = "torch-distributed"
    """A ClusterTrainingRuntime of kind torch."""

    kubernetes_image: str = ""
    """The trainer's image with the extra `ranks`; needed for the launcher `kubernetes`."""

    kubernetes_claim: str = ""
    """A PersistentVolumeClaim for many writers, which this worker has mounted, too; needed."""

    kubernetes_mount: Path = Path("/var/lib/modelmill")
    """Where that volume is mounted, here and in the pods; `work_root` and `artifact_root` (or
    `artifact_cache`) are below it."""

    kubernetes_ranks_per_node: int = Field(default=1, ge=1, le=64)
    """Ranks of a pod at most."""

    kubernetes_rank_cpus: int = Field(default=4, ge=1)
    """Cores of a rank."""

    @model_validator(mode="after")
    def _names_what_a_cluster_needs(self) -> Self:
        if self.launcher == "kubernetes":
            for name in ("kubernetes_image", "kubernetes_claim"):
                if not getattr(self, name):
                    raise ValueError(f"the launcher kubernetes needs TRAINER_{name.upper()}")
            if not self.work_root.is_relative_to(self.kubernetes_mount):
                raise ValueError("TRAINER_WORK_ROOT must be below TRAINER_KUBERNETES_MOUNT")
        return self

    def cluster(self) -> Cluster | None:
        """Where ranks are; None for the worker itself."""
        if self.launcher == "local":
            return None
        return Cluster(
            address=self.kubernetes_address,
            namespace=self.kubernetes_namespace,
            token_file=str(self.kubernetes_token_file),
            ca_file=str(self.kubernetes_ca_file),
            runtime=self.kubernetes_runtime,
            image=self.kubernetes_image,
            claim=self.kubernetes_claim,
            mount=str(self.kubernetes_mount),
            ranks_per_node=self.kubernetes_ranks_per_node,
            rank_cpus=self.kubernetes_rank_cpus,
        )
