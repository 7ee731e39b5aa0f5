"""The service as a process of its own: it starts, answers, and stops cleanly, without torch."""

import asyncio
from pathlib import Path

from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.service_process import (
    modules_loaded_by,
    refused_start,
    running_service,
    service_settings,
)


async def test_it_starts_answers_health_and_stops_cleanly_without_torch(tmp_path: Path) -> None:
    async with (
        run_nats(tmp_path / "nats") as nats,
        running_service("trainer", service_settings(nats, tmp_path)) as service,
    ):
        assert await service.is_healthy()
        mapped = await asyncio.to_thread(Path(f"/proc/{service.pid}/maps").read_text)
        assert "libtorch" not in mapped

        assert await service.stop() == 0


async def test_the_service_itself_loads_no_tensor_library() -> None:
    heavy = {"torch", "transformers", "peft", "numpy", "tokenizers"}

    assert not heavy & await modules_loaded_by("modelmill_trainer.main")


async def test_missing_or_invalid_settings_exit_with_one_line() -> None:
    status, said = await refused_start("trainer", {"role": "boss", "threads": "-1"})

    assert status == 2
    for name in ("TRAINER_NATS_URL", "TRAINER_ROLE", "TRAINER_THREADS"):
        assert name in "\n".join(said)
