"""What the gateway reads from its environment, under the prefix GATEWAY_."""

from pathlib import Path
from typing import Literal

from modelmill_service_kit.settings import WorkerSettings
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from modelmill_gateway.domain.ledger.budget import Prices
from modelmill_gateway.domain.public_addresses import is_safe_address
from modelmill_gateway.oidc_settings import OidcSettings

WEBHOOK_KEY_CHARS = 32


class Settings(WorkerSettings):
    """Settings of the gateway. Exactly one of `jwks_path` and `jwks_url` must be given."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="GATEWAY_")

    role: Literal["serve", "work", "both"] = "both"
    """serve (answers clients), work (answers batches) or both."""

    processes: int = Field(default=1, ge=1, le=64)
    """Processes that answer at the same two ports; one uses one core."""

    shares_ports: bool = False
    """Others listen at the same ports: of several processes, or a successor beside its predecessor.
    A port that somebody else has is then no error."""

    port_sharers: int = Field(default=1, ge=1)
    """How many processes of one gateway listen at its ports; set by the one that starts several."""

    worker_slots: int = Field(default=8, ge=1)
    """Batches that this process works on at a time."""

    batch_parallel: int = Field(default=8, ge=1)
    """Requests of batches that this process has in flight, of all of them together."""

    experiment_seconds: float = Field(default=5.0, gt=0)
    """Between two looks at what the keys of each experiment say."""

    http_address: str = "127.0.0.1:8080"
    """Where clients are answered over HTTP; port 0 takes a free one."""

    tls_certificate_path: Path | None = None
    """PEM file with the certificate (and its chain) of both servers; read again when it changes."""

    tls_key_path: Path | None = None
    """PEM file with its private key, without passphrase."""

    plaintext_behind_proxy: bool = False
    """Lets servers that other machines can reach answer without TLS: a proxy in front ends it."""

    inference_address: str
    """One address or several, with commas; a name may stand for several replicas by itself."""

    moderation_address: str
    """Where moderation answers."""

    data_prep_address: str
    """Where data-prep answers."""

    trainer_address: str
    """Where the trainer answers."""

    optimizer_builder_address: str
    """Where optimizer-builder answers."""

    jwt_issuer: str
    """The `iss` that a token must carry, compared whole."""

    jwt_audience: str
    """The `aud` that a token must carry, compared whole."""

    jwks_path: Path | None = None
    """File with the issuer's public keys; read again when it changes."""

    jwks_url: str | None = None
    """https address of the issuer's public keys (http only on loopback)."""

    oidc_issuers: tuple[OidcSettings, ...] = ()
    """OpenID providers whose tokens count, too: a JSON list of objects."""

    default_model: str = "default"
    """What /generate answers with when the body names no model: an alias, version or name."""

    request_seconds: float = 120.0
    """An answer that takes longer is ended; every hop gets what is left of it."""

    moderation_seconds: float = Field(default=5.0, gt=0)
    """A verdict that takes longer is no verdict; after three of them moderation is spared."""

    rules_here_chars: int = Field(default=4096, ge=0)
    """Inputs up to this long are judged in this process, where the policy's rules are all of it;
    0 has moderation judge every input."""

    tokens_in_hand: int = Field(default=1_000_000, ge=0)
    """Of prompts and what their answers may come to, at a time; more waits. 0 sets no limit. Of all
    `processes` together, each of which has its share."""

    admission_seconds: float = Field(default=10.0, gt=0)
    """Who is expected to wait longer for room is refused at once, with 503."""

    load_seconds: float = 180.0
    """How long a version may take to load before its alias is moved."""

    max_body_bytes: int = 1024 * 1024
    """Largest JSON body."""

    max_upload_bytes: int = 1024 * 1024 * 1024
    """Largest upload, form fields included; data-prep has its own limit on the file."""

    max_waiting_jobs: int = Field(default=0, ge=0)
    """Jobs of one tenant that may wait; more are refused with 429. 0 sets no limit."""

    ledger_folder: Path | None = None
    """Journals of what limited requests use; must outlive the process, not the machine. Unset: the
    folder `ledger` under the work root."""

    ledger_lease_seconds: float = Field(default=6.0, gt=0)
    """A replica's part of a budget is its own for so long, and renewed at half that time."""

    ledger_grace_seconds: float = Field(default=30.0, gt=0)
    """So long after that, the part of a replica that does not return counts as used."""

    ledger_wait_seconds: float = Field(default=1.0, gt=0)
    """A limited request whose replica must ask the bus first waits no longer than this."""

    ledger_answer_tokens: int = Field(default=1024, gt=0)
    """The answer's tokens at most where a caller with limits names none."""

    prices: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """JSON: model name or alias to the price of a million prompt tokens and of a million answer
    tokens, as decimal strings in one currency; "*" is for all others."""

    usage_queue: int = 10_000
    """Usage records that may wait in memory for the bus; what comes on top waits on disk."""

    usage_folder: Path | None = None
    """Where they wait; must outlive the process. Unset: the folder `usage` under the work root."""

    usage_spill_bytes: int = Field(default=64 * 1024**2, ge=0)
    """So many bytes may wait there; what comes on top is dropped and counted."""

    log_days: float = Field(default=30.0, gt=0)
    """Days for which logged requests are kept."""

    log_seconds: float = Field(default=5.0, gt=0)
    """Logged requests of so long are stored together; whoever is killed loses them."""

    log_bytes: int = Field(default=64 * 1024**2, gt=0)
    """Characters of logged requests that may wait in memory; more are dropped and counted."""

    audit_queue: int = Field(default=10_000, gt=0)
    """Audit records that may wait for the bus; what comes on top is dropped and counted."""

    head_seconds: float = Field(default=10.0, gt=0)
    """A request's head must be complete in this time, or the connection is closed."""

    stall_seconds: float = Field(default=30.0, gt=0)
    """A body that comes, or an answer that is taken, too slowly for so long is cut."""

    slowest_bytes_per_second: int = Field(default=256, ge=0)
    """What is too slowly for `stall_seconds`."""

    max_connections: int = Field(default=10_000, ge=0)
    """HTTP connections; more are refused with 503. 0 sets no limit. Of all `processes` together,
    each of which has its share."""

    docs_folder: Path | None = None
    """Folder of the documentation that /docs serves. Unset: the one that `make docs` put into the
    package."""

    console_folder: Path | None = None
    """Folder of the web console that /console serves. Unset: the one that `make console` put into
    the package."""

    prometheus_url: str = Field(default="", pattern=r"^(https?://[^\s/@]+(/[^\s@]*)?)?$")
    """Prometheus whose alerts operators are shown, as http://prometheus:9090; empty for none."""

    prometheus_labels: dict[str, str] = Field(default_factory=dict)
    """JSON: labels of the alerts that are shown, as {"namespace": "models"}; others are those of
    somebody else with whom the Prometheus is shared."""

    webhook_key: SecretStr | None = None
    """Seals the signing secrets of webhooks, and the keys of logged requests: random text of 32
    characters or more. Without it there are no webhooks, and nothing is logged."""

    webhook_allow_private: bool = False
    """Lets webhooks go to http and to addresses that are not public: for machines of one's own."""

    webhook_retry_seconds: tuple[float, ...] = (
        *(5, 300, 1800),
        *(2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600),
    )
    """Waits before each further attempt of a delivery, a JSON list; then the event is dropped."""

    webhook_disable_seconds: float = Field(default=3 * 24 * 3600.0, gt=0)
    """An endpoint of which all attempts failed for so long is disabled."""

    @property
    def request_id_secret(self) -> str:
        """What request ids are known by: what outlives a start, where there is such a thing."""
        return (self.webhook_key or self.service_secret).get_secret_value()

    @property
    def inference_addresses(self) -> tuple[str, ...]:
        """Each of them."""
        return tuple(each.strip() for each in self.inference_address.split(",") if each.strip())

    @field_validator("prices")
    @classmethod
    def _are_whole_millionths(
        cls, prices: dict[str, tuple[str, str]]
    ) -> dict[str, tuple[str, str]]:
        Prices(prices)
        return prices

    @field_validator("webhook_key")
    @classmethod
    def _is_long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        if len(key.get_secret_value()) < WEBHOOK_KEY_CHARS:
            raise ValueError(f"at least {WEBHOOK_KEY_CHARS} characters")
        return key

    @model_validator(mode="after")
    def _somebody_generates(self) -> "Settings":
        if not self.inference_addresses:
            raise ValueError("inference_address must not be empty")
        return self

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> "Settings":
        if (self.jwks_path is None) == (self.jwks_url is None):
            raise ValueError("give exactly one of jwks_path and jwks_url")
        if self.jwks_url is not None and not is_safe_address(self.jwks_url):
            raise ValueError("jwks_url must be https, or http on loopback")
        return self

    @model_validator(mode="after")
    def _each_issuer_once(self) -> "Settings":
        names = [self.jwt_issuer, *(each.issuer for each in self.oidc_issuers)]
        if len(set(names)) != len(names):
            raise ValueError("an issuer comes twice in jwt_issuer and oidc_issuers")
        return self
