"""The gateway as a process of its own, on the house's bus and before its peers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from httpx import AsyncClient as Client
from modelmill_testkit.service_process import ServiceProcess, running_service

from gateway_support.house import SECRET, House

FAULTY = "services.gateway.tests.gateway_support.faulty_gateway"
"""From the repository's root."""


def settings_of(house: House, **changes: str) -> dict[str, str]:
    """Those of the house's own gateway, for one in a process; an empty change takes one away."""
    settings = house.settings
    values = {
        "nats_url": settings.nats_url,
        "nats_token": settings.nats_token.get_secret_value(),
        "service_secret": SECRET,
        "artifact_root": str(settings.artifact_root),
        "work_root": str(settings.work_root),
        "http_address": "127.0.0.1:0",
        "inference_address": settings.inference_address,
        "moderation_address": settings.moderation_address,
        "data_prep_address": settings.data_prep_address,
        "trainer_address": settings.trainer_address,
        "optimizer_builder_address": settings.optimizer_builder_address,
        "jwt_issuer": settings.jwt_issuer,
        "jwt_audience": settings.jwt_audience,
        "jwks_path": str(settings.jwks_path),
        "drain_seconds": "2",
    } | changes
    return {name: value for name, value in values.items() if value}


def _client(service: ServiceProcess) -> Client:
    # More patient than by default: the process may share its core with six others.
    return Client(base_url=f"http://127.0.0.1:{service.ports['http']}", timeout=60)


@asynccontextmanager
async def running(house: House, **changes: str) -> AsyncIterator[tuple[ServiceProcess, Client]]:
    """The gateway as a process, and an HTTP client of it."""
    async with (
        running_service("gateway", settings_of(house, **changes)) as service,
        _client(service) as client,
    ):
        yield service, client


@asynccontextmanager
async def running_until(
    house: House, point: str, **changes: str
) -> AsyncIterator[tuple[ServiceProcess, Client]]:
    """As `running`, but it kills itself at that step of a request, see `faulty_gateway`."""
    settings = settings_of(house, **changes) | {"fault_at": point}
    async with (
        running_service("gateway", settings, module=FAULTY) as service,
        _client(service) as client,
    ):
        yield service, client
