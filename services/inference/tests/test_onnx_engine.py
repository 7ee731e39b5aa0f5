"""ONNX builds through the whole service, by an engine in a process of its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_inference.adapters import onnx
from modelmill_registry.store import FolderStore
from modelmill_service_kit.errors import NotFoundError, PreconditionError
from modelmill_testkit.waiting import eventually

from .support import Service, nats_and_inference

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_scope="module")]

QUESTION = [("user", "what kind of thing is a 价格?")]
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@pytest.fixture(scope="module")
def build(onnx_folder: Path, llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As optimizer-builder leaves one, with the tokenizer of training."""
    folder = shutil.copytree(onnx_folder, tmp_path_factory.mktemp("onnx") / "build")
    for name in TOKENIZER:
        shutil.copyfile(llama_folder / name, folder / name)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    folder, root = tmp_path_factory.mktemp("nats"), tmp_path_factory.mktemp("artifacts")
    async with nats_and_inference(folder, root, engine_threads=1) as service:
        yield service


async def announced(service: Service, folder: Path) -> str:
    store = FolderStore(service.settings.artifact_disk)
    digest = store.commit(folder, kind="model", form="onnx-fp32").digest
    return await service.announce(digest, form="onnx-fp32")


async def test_a_build_answers_and_is_exact(service: Service, build: Path) -> None:
    version = await announced(service, build)
    await service.load_when_known(version)
    wanted = {"messages": QUESTION, "max_new_tokens": 24, "temperature": 0.8, "seed": 3}
    alone = await service.answer(version, **wanted)
    together = await asyncio.gather(
        *(service.answer(version, **(wanted | {"seed": seed})) for seed in (3, 4, 5))
    )

    assert alone.end.finish_reason in ("length", "stop")
    assert alone.end.exact
    assert together[0].text == alone.text
    assert len({answer.text for answer in together}) == 3


async def test_settings_that_name_a_library_are_refused(
    service: Service, build: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(build, tmp_path / "evil")
    settings = folder / "genai_config.json"
    settings.write_text(
        settings.read_text().replace('"log_id"', '"custom_ops_library": "/tmp/evil.so", "log_id"')
    )
    version = await announced(service, folder)

    with pytest.raises(PreconditionError, match="refused the model"):
        await service.load_when_known(version)


async def test_without_its_library_the_form_is_not_served_and_the_answer_says_how(
    service: Service, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "NEEDS", ("no_such_library",))
    (tmp_path / "nats").mkdir()
    root = service.settings.artifact_disk
    async with nats_and_inference(tmp_path / "nats", root) as without:
        unserved = await announced(without, build)

        async def said() -> bool:
            with pytest.raises(NotFoundError) as refused:
                await without.load(unserved)
            return "install modelmill-inference[onnx]" in str(refused.value)

        await eventually(said)
