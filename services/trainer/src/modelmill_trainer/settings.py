"""Settings of the trainer, from environment variables."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from modelmill_trainer.domain.cluster import KubernetesCluster
from modelmill_trainer.domain.limits import MachinePrice

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Settings(WorkerSettings):
    """Worker settings, and those of training, trackers and Kubernetes."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True)

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers gRPC), work (claims jobs) or both."""

    threads: int = Field(default=0, ge=0)
    """torch threads per training process; 0 for one per core. Set fewer if `worker_slots` exceeds
    1: oversubscribed processes wait for each other at every operation."""

    price_per_hour: float = Field(default=0.0, ge=0)
    """Price per core, or per GPU if there is one; 0 for no charge."""

    currency: str = ""
    """Currency of the price, for display."""

    seconds_between_interruptions: float = Field(default=3600.0, gt=0)
    """Mean time between worker failures, which determines the checkpoint interval. It is shorter on
    spot machines."""

    inference_address: str = ""
    """Address of the inference service; if empty, evaluations are rejected."""

    inference_at_once: int = Field(default=8, gt=0)
    """Concurrent model requests of one evaluation."""

    mlflow_url: str = ""
    """MLflow tracking server, for example "http://127.0.0.1:5000"; empty for none."""

    mlflow_token: SecretStr = SecretStr("")
    """Bearer token for MLflow; empty for none."""

    mlflow_experiment: str = "modelmill"
    """MLflow experiment; created if it does not exist."""

    tensorboard_folder: Path | None = None
    """TensorBoard log directory; each job has a subfolder."""

    wandb_project: str = ""
    """Weights & Biases project; empty for none. Needs the extra `wandb`."""

    wandb_folder: Path | None = None
    """Where W&B writes its runs."""

    wandb_api_key: SecretStr = SecretStr("")
    """Without one, runs stay in the folder, for `wandb sync`."""

    wandb_url: str = ""
    """W&B server of one's own; empty for W&B's."""

    @model_validator(mode="after")
    def _wandb_at_hand(self) -> Self:
        if self.wandb_project and find_spec("wandb") is None:
            raise ValueError("TRAINER_WANDB_PROJECT needs modelmill-trainer[wandb]")
        if self.wandb_project and self.wandb_folder is None:
            raise ValueError("TRAINER_WANDB_PROJECT needs TRAINER_WANDB_FOLDER")
        return self

    @property
    def price(self) -> MachinePrice:
        """Price of the machine."""
        return MachinePrice(per_hour=self.price_per_hour, currency=self.currency)

    launcher: Literal["local", "kubernetes"] = "local"
    """Where ranks of distributed runs run: on the worker, or on Kubernetes with Kubeflow
    Trainer."""

    kubernetes_address: str = "https://kubernetes.default.svc"
    """Address of the API server."""

    kubernetes_namespace: str = "default"
    """Namespace of the TrainJobs."""

    kubernetes_token_file: Path = SERVICE_ACCOUNT / "token"
    """Token of a service account that may create, get and delete TrainJobs."""

    kubernetes_ca_file: Path = SERVICE_ACCOUNT / "ca.crt"
    """CA certificate of the API server."""

    kubernetes_runtime: str = "torch-distributed"
    """Name of a ClusterTrainingRuntime for torch."""

    kubernetes_image: str = ""
    """Trainer image with the extra `ranks`; required for launcher `kubernetes`."""

    kubernetes_claim: str = ""
    """PersistentVolumeClaim (ReadWriteMany) that this worker mounts as well; required."""

    kubernetes_mount: Path = Path("/var/lib/modelmill")
    """Mount path of that volume, here and in the pods. `work_root` and `artifact_root` (or
    `artifact_cache`) must be below it."""

    kubernetes_ranks_per_node: int = Field(default=1, ge=1, le=64)
    """Maximum ranks per pod."""

    kubernetes_rank_cpus: int = Field(default=4, ge=1)
    """CPU cores per rank."""

    @model_validator(mode="after")
    def _require_cluster_settings(self) -> Self:
        if self.launcher == "kubernetes":
            for name in ("kubernetes_image", "kubernetes_claim"):
                if not getattr(self, name):
                    raise ValueError(f"the launcher kubernetes needs TRAINER_{name.upper()}")
            if not self.work_root.is_relative_to(self.kubernetes_mount):
                raise ValueError("TRAINER_WORK_ROOT must be below TRAINER_KUBERNETES_MOUNT")
        return self

    def cluster(self) -> KubernetesCluster | None:
        """The Kubernetes cluster for ranks; None for launcher `local`."""
        if self.launcher == "local":
            return None
        return KubernetesCluster(
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
