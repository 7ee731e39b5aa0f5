"""What is announced can be trained on at once, wherever this process is in the streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from modelmill.trainer.v1 import trainer_service_pb2 as pb
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import DATASET_READY, MODEL_READY
from modelmill_registry.catalogue import DatasetCatalogue, ModelCatalogue
from modelmill_trainer.find_training_inputs import FindTrainingInputs
from modelmill_trainer.stored_records import JobReader


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows announcements reads them once somebody asks for the newest."""
    asked = {MODEL_READY: asyncio.Event(), DATASET_READY: asyncio.Event()}
    follow, newest = Bus.follow, Bus.newest_sequence

    async def late_follow(bus: Bus, subjects: Any, *args: Any, **more: Any) -> Any:
        async for stored in follow(bus, subjects, *args, **more):
            if stored.subject in asked:
                await asked[stored.subject].wait()
            yield stored

    async def newest_sequence(bus: Bus, subjects: str) -> int:
        found = await newest(bus, subjects)
        if subjects in asked:
            asked[subjects].set()
        return found

    monkeypatch.setattr(Bus, "follow", late_follow)
    monkeypatch.setattr(Bus, "newest_sequence", newest_sequence)


@pytest_asyncio.fixture
async def catalogues(site: Any, behind: None) -> AsyncIterator[tuple[Any, Any]]:
    """Of a worker that is behind."""
    models, datasets = ModelCatalogue(site.bus), DatasetCatalogue(site.bus)
    following = [asyncio.create_task(each.run()) for each in (models, datasets)]
    yield models, datasets
    for task in following:
        task.cancel()


async def announced(site: Any) -> pb.TrainSpec:
    base = await site.announce_model(version_id="mv-new", form="safetensors", size_bytes=1)
    await site.add_dataset()
    return pb.TrainSpec(base_version_id=base.version_id, dataset_id="ds-toy")


async def test_a_job_on_what_was_just_announced_is_accepted(site: Any, behind: None) -> None:
    async with site.serving(role="serve"):
        spec = await announced(site)

        assert (await site.create(spec)).job_id


async def test_a_worker_finds_the_inputs_of_a_job_that_others_accepted(
    site: Any, catalogues: tuple[Any, Any]
) -> None:
    spec = await announced(site)

    inputs = await FindTrainingInputs(*catalogues, JobReader(site.bus))("acme", spec)

    assert (inputs.base.version_id, inputs.dataset.dataset_id) == ("mv-new", "ds-toy")
