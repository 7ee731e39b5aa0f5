"""What each process of a stack is told: addresses, identities, files with secrets."""

import secrets
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path

from modelmill_service_kit.bus_access import SEED_SUFFIX
from modelmill_service_kit.ports import ALTERNATIVES
from modelmill_service_kit.process_supervisor import (
    STOP_SECONDS,
    SupervisedProcess,
    python_module,
)
from modelmill_service_kit.settings import EndingSettings
from pydantic import ValidationError

from modelmill_cli.certificates import CertificateFolder
from modelmill_cli.keys import AUDIENCE, ISSUER, LocalKeys
from modelmill_cli.process_group import Command
from modelmill_cli.stack_options import (
    HOST,
    OWN_PORTS,
    OWNERS,
    SPARE,
    WORKING_SERVICES,
    Ports,
    StackOptions,
)
from modelmill_cli.state_folder import Runtime, StateFolder, write_private
from modelmill_cli.state_layout import LAYOUT

BEHIND_THE_GATEWAY = ("moderation", *OWNERS, "inference")
ASK_MODELS = ("moderation", "data_prep", "trainer")
"""Call inference."""


@dataclass(frozen=True)
class StackSecrets:
    """Made at each start, and in files for as long as the instance runs."""

    service_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    otlp_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def write(self, state: StateFolder) -> None:
        """Put each where services read it; their environments have paths alone."""
        write_private(state.service_secret_file, self.service_secret.encode())
        write_private(state.otlp_token_file, self.otlp_token.encode())


@dataclass(frozen=True)
class Wiring:
    """All that processes are told."""

    state: StateFolder
    options: StackOptions
    keys: LocalKeys
    made: StackSecrets
    ports: Ports
    otlp_port: int

    @property
    def nats_port(self) -> int:
        return self.ports["nats"]["nats"]

    @property
    def nats_url(self) -> str:
        return f"nats://{HOST}:{self.nats_port}"

    def environment(self, name: str, *, at_spare: bool = False) -> dict[str, str]:
        """What the service is told beyond what all processes inherit.

        Args:
            at_spare: it listens at its spare ports.
        """
        values = self._common(name) | self._addresses(name, at_spare=at_spare) | self._peers(name)
        if name in WORKING_SERVICES:
            values["work_root"] = str(self.state.work / name)
        if self.options.tls:
            values |= self._mutual_tls(name)
        if name == "gateway":
            values |= self._callers()
        return _prefixed(name, values) | self.options.overrides

    def command(self, name: str) -> Command:
        """What runs a service, and how long its end may take."""
        argv = python_module(f"modelmill_{name}.main")
        return Command(argv, self.environment(name), stop_seconds=self._stop_seconds(name))

    def _stop_seconds(self, name: str) -> float:
        """Enough for calls in hand, and for a checkpoint of a job (`STORE_AT_STOP_SECONDS`)."""
        prefix = f"{name.upper()}_"
        given = {field: f"{prefix}{field}".upper() for field in EndingSettings.model_fields}
        overrides = self.options.overrides
        told = {field: overrides[it] for field, it in given.items() if it in overrides}
        try:
            ending = EndingSettings.model_validate(
                EndingSettings(_env_prefix=prefix).model_dump() | told
            )
        except ValidationError:
            return STOP_SECONDS  # the service itself says which setting is wrong
        return max(STOP_SECONDS, ending.longest_end_seconds)

    def runtime(self, processes: dict[str, SupervisedProcess]) -> Runtime:
        """How others reach the stack."""
        ports = {name: process.ports for name, process in processes.items()}
        return Runtime(
            pid=getpid(),
            http_url=f"http://{HOST}:{ports['gateway']['http']}",
            nats_url=self.nats_url,
            nats_seeds=str(self.state.bus_identities),
            service_secret=self.made.service_secret,
            artifact_root=self._artifacts,
            grpc_ports={n: each["grpc"] for n, each in ports.items() if "grpc" in each},
            metrics_ports={n: each["metrics"] for n, each in ports.items() if "metrics" in each},
            pids={name: process.pid for name, process in processes.items()},
            layout=LAYOUT,
        )

    @property
    def _artifacts(self) -> str:
        """Absolute: what uses it later may run in another folder."""
        given = self.options.artifacts or str(self.state.artifacts)
        return given if "://" in given else str(Path(given).absolute())

    def _common(self, name: str) -> dict[str, str]:
        identity = name.replace("_", "-")
        return {
            "nats_url": self.nats_url,
            "nats_nkey_seed_file": str(self.state.bus_identities / f"{identity}{SEED_SUFFIX}"),
            "service_secret_file": str(self.state.service_secret_file),
            "artifact_root": self._artifacts,
            "artifact_cache": str(self.state.artifact_cache),
            "otlp_endpoint": f"http://{HOST}:{self.otlp_port}",
            "otlp_token_file": str(self.state.otlp_token_file),
            "log_level": self.options.log_level,
        }

    def _addresses(self, name: str, *, at_spare: bool) -> dict[str, str]:
        """Where it listens, also when it is started again: its peers look for it there."""
        ports = self.ports[name]
        if name == "gateway":
            hosts = {"http": self.options.http_host}
            return {f"{kind}_address": f"{hosts.get(kind, HOST)}:{ports[kind]}" for kind in ports}
        before = SPARE if at_spare else ""
        return {f"{kind}_address": f"{HOST}:{ports[f'{before}{kind}']}" for kind in OWN_PORTS}

    def _peers(self, name: str) -> dict[str, str]:
        called: dict[str, tuple[str, ...]] = {
            "gateway": BEHIND_THE_GATEWAY,
            **dict.fromkeys(ASK_MODELS, ("inference",)),
        }
        peers = called.get(name, ())
        return {f"{peer}_address": self._either(peer) for peer in peers}

    def _either(self, peer: str) -> str:
        ports = self.ports[peer]
        return ALTERNATIVES.join(f"{HOST}:{ports[kind]}" for kind in ("grpc", f"{SPARE}grpc"))

    def _mutual_tls(self, name: str) -> dict[str, str]:
        certificates, name = CertificateFolder(self.state.certificates), name.replace("_", "-")
        return {
            "mtls_authority_path": str(certificates.certificate("ca")),
            "mtls_certificate_path": str(certificates.certificate(name)),
            "mtls_key_path": str(certificates.key(name)),
        }

    def _callers(self) -> dict[str, str]:
        """How the gateway knows who calls, keeps their secrets, and makes way for its successor."""
        return {
            "shares_ports": "true",
            "jwks_path": str(self.keys.jwks_file),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "webhook_key_file": str(self.keys.webhook_key_file()),
        }


def _prefixed(name: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{name}_{key}".upper(): value for key, value in values.items()}
