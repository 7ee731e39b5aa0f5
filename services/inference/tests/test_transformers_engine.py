"""Safetensors through the whole service, by the reference engine in a process of its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from modelmill_inference.adapters import transformers
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_testkit.waiting import eventually

from .support import Service, nats_and_inference

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

QUESTION = [("user", "what kind of thing is a 价格?")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    folder, root = tmp_path_factory.mktemp("nats"), tmp_path_factory.mktemp("artifacts")
    async with nats_and_inference(folder, root, engine_threads=1) as service:
        yield service


@pytest.fixture(scope="module")
def deepseek(service: Service, deepseek_folder: Path) -> str:
    """Digest of a mixture of experts with latent attention."""
    store = FolderStore(service.settings.artifact_disk)
    return store.commit(deepseek_folder, kind="model", form="safetensors").digest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def version(service: Service, deepseek: str) -> str:
    version_id = await service.announce(deepseek, form="safetensors")
    await service.load_when_known(version_id)
    return version_id


async def test_a_model_that_no_other_engine_knows_answers_and_is_exact(
    service: Service, version: str
) -> None:
    wanted = {"messages": QUESTION, "max_new_tokens": 24, "temperature": 0.8, "seed": 3}
    alone = await service.answer(version, **wanted)
    together = await asyncio.gather(
        *(service.answer(version, **(wanted | {"seed": seed})) for seed in (3, 4, 5))
    )

    assert alone.end.finish_reason in ("length", "stop")
    assert alone.end.exact
    assert together[0].text == alone.text
    assert len({answer.text for answer in together}) == 3


async def test_what_the_engine_refuses_leaves_it_and_other_versions_alone(
    service: Service, version: str, llama_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "torn")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1000])
    store = FolderStore(service.settings.artifact_disk)
    digest = store.commit(folder, kind="model", form="safetensors").digest
    torn = await service.announce(digest, form="safetensors")
    before = {child.pid for child in psutil.Process().children()}
    healthy = asyncio.create_task(service.answer(version, messages=QUESTION, max_new_tokens=40))

    with pytest.raises(PreconditionError, match="refused the model"):
        await service.load_when_known(torn)
    with pytest.raises(InvalidInputError):
        await service.answer(version, text="x", temperature=-1)

    assert (await healthy).end.finish_reason in ("length", "stop")
    assert before == {child.pid for child in psutil.Process().children()}
    assert [*await service.serving()] == [version]


async def test_without_its_libraries_the_form_is_not_served_and_the_answer_says_how(
    service: Service, deepseek: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers, "NEEDS", ("torch", "no_such_library"))
    (tmp_path / "nats").mkdir()
    root = service.settings.artifact_disk
    async with nats_and_inference(tmp_path / "nats", root) as without:
        unserved = await without.announce(deepseek, form="safetensors")

        async def said() -> bool:
            with pytest.raises(NotFoundError) as refused:
                await without.load(unserved)
            return "install modelmill-inference[transformers]" in str(refused.value)

        await eventually(said)
