"""`GET /v1/models/{model}/card`: what the artifact of a version says of it."""

from pathlib import Path
from typing import Any

import pytest
from gateway_support.house import House
from modelmill_registry.store import FolderStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

CARD = "---\nlicense: mit\n---\n\n# kinds\n\nAn adapter, für alle.\n"
OWNER = "carded"


def committed(house: House, folder: Path, files: dict[str, str], **attributes: Any) -> str:
    """An artifact with these files; its digest."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    store = FolderStore(Path(house.settings.artifact_root))
    return store.commit(folder, kind="model", form="adapter", attributes=attributes).digest


async def card_of(house: House, model: str) -> dict[str, Any]:
    answer = await house.http(tenant=OWNER).get(f"/v1/models/{model}/card")
    return dict(answer.raise_for_status().json())


async def test_a_card_is_that_of_the_version_also_behind_an_alias(house: House, tmp_path: Path):
    digest = committed(house, tmp_path / "a", {"README.md": CARD})
    await house.say_model("mv-carded", tenant=OWNER, name="kinds", form="adapter", digest=digest)
    await house.say_alias(OWNER, "served", "mv-carded")

    wanted = {"id": "mv-carded", "object": "model.card", "card": CARD}
    assert await card_of(house, "mv-carded") == wanted
    assert await card_of(house, "served") == wanted


async def test_an_imported_model_tells_where_it_came_from_also_without_a_card(
    house: House, tmp_path: Path
):
    origin = {"source": "hf://org/small", "revision": "a" * 40, "licence": "mit"}
    digest = committed(house, tmp_path / "b", {"config.json": "{}"}, **origin)
    await house.say_model("mv-hub", tenant=OWNER, name="hub", form="adapter", digest=digest)

    assert "Imported from `hf://org/small`" in (await card_of(house, "mv-hub"))["card"]


async def test_without_a_card_or_an_artifact_there_is_none(house: House, tmp_path: Path):
    digest = committed(house, tmp_path / "c", {"config.json": "{}"})
    await house.say_model("mv-bare", tenant=OWNER, name="bare", form="adapter", digest=digest)
    gone = f"sha256:{'0' * 64}"
    await house.say_model("mv-gone", tenant=OWNER, name="gone", form="adapter", digest=gone)

    for version in ("mv-bare", "mv-gone"):
        assert await card_of(house, version) == {
            **{"id": version, "object": "model.card", "card": None}
        }


async def test_the_card_of_another_tenant_is_not_there(house: House, tmp_path: Path):
    digest = committed(house, tmp_path / "d", {"README.md": CARD})
    await house.say_model("mv-others", tenant="others", name="o", form="adapter", digest=digest)

    answer = await house.http(tenant=OWNER).get("/v1/models/mv-others/card")
    assert answer.status_code == 404
