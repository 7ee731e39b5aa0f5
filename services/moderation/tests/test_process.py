"""The service as a process of its own: it starts, answers health, and stops cleanly."""

from pathlib import Path

from modelmill_testkit.nats_server import NatsServer
from modelmill_testkit.service_process import refused_start, running_service, service_settings


async def test_it_starts_answers_health_and_stops_cleanly(nats: NatsServer, tmp_path: Path) -> None:
    async with running_service("moderation", service_settings(nats, tmp_path)) as service:
        assert service.ports.keys() == {"grpc", "metrics"}
        assert await service.is_healthy()

        assert await service.stop() == 0

        assert service.process.stdout is not None
        assert await service.process.stdout.read() == b""


async def test_missing_settings_end_it_with_one_line() -> None:
    status, said = await refused_start("moderation", {})

    assert status == 2
    (line,) = said
    assert "MODERATION_NATS_URL" in line


async def test_a_wrong_setting_is_named_with_what_it_must_be() -> None:
    _, said = await refused_start("moderation", {"nats_replicas": "many"})

    (line,) = said
    assert "MODERATION_NATS_REPLICAS (input should be a valid integer" in line
    assert "many" not in line


async def test_replicas_that_one_broker_cannot_have_end_it_with_one_line(
    nats: NatsServer, tmp_path: Path
) -> None:
    settings = service_settings(nats, tmp_path) | {"nats_replicas": "3"}
    status, said = await refused_start("moderation", settings)

    assert status == 2
    (line,) = said
    assert "3 replicas need a cluster of brokers" in line
