"""The request log: what an alias keeps, who reads it, and what a deletion leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_support.another_gateway import another_gateway
from gateway_support.house import MASKED, TUNED, House, run_house
from modelmill_bus.subjects import log_segment
from modelmill_gateway.request_log.read_log import ExpireLog
from modelmill_registry.store import store_of
from modelmill_testkit.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET_WORD = "quittenmarmelade"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with run_house(tmp_path_factory.mktemp("house"), log_seconds=0.05) as house:
        yield house


async def logging_alias(house: House, tenant: str, **more: Any) -> httpx.AsyncClient:
    client = house.http(tenant=tenant)
    body = {"version_id": TUNED, "store": True} | more
    answer = await client.put("/v1/aliases/kept", json=body)
    assert answer.status_code == 200, answer.text
    return client


async def ask(client: httpx.AsyncClient, text: str, **more: Any) -> str:
    body = {"model": "kept", "messages": [{"role": "user", "content": text}]} | more
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


async def logged(client: httpx.AsyncClient, request_id: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        answer = await client.get(f"/v1/logs/{request_id}")
        return answer.json() if answer.status_code == 200 else None

    return await eventually(found)


async def test_an_alias_that_stores_keeps_what_was_asked_and_answered(house: House):
    client = await logging_alias(house, "keeper")
    aliases = {each["id"]: each for each in (await client.get("/v1/aliases")).json()["data"]}
    assert aliases["kept"]["store"] is True

    request_id = await ask(client, "hello there", user="ann")
    kept = await logged(client, request_id)

    assert kept["messages"] == [{"role": "user", "content": "hello there"}]
    [answer] = kept["answers"]
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "stop")
    assert answer["content"]
    assert (kept["model"], kept["version_id"], kept["deleted"]) == ("kept", TUNED, False)


async def test_a_stream_is_kept_as_it_was_shown(house: House):
    client = await logging_alias(house, "streamer")
    body = {"model": "kept", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    shown = ""
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        request_id = answer.headers["x-request-id"]
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line.removeprefix("data: "))["choices"]
                shown += "".join(it["delta"].get("content") or "" for it in choices)

    assert (await logged(client, request_id))["answers"][0]["content"] == shown


async def test_a_key_that_stores_keeps_what_is_asked_with_it_and_with_keys_that_it_made(
    house: House,
):
    client = house.http(tenant="keys-of-logs")
    scopes = ["chat", "keys"]
    logging = (
        await client.post("/v1/keys", json={"name": "a", "scopes": scopes, "store": True})
    ).json()
    assert logging["store"] is True
    with_key = house.http(tenant="keys-of-logs")
    with_key.headers["authorization"] = f"Bearer {logging['key']}"
    made = (await with_key.post("/v1/keys", json={"name": "b", "scopes": ["chat"]})).json()
    await client.put("/v1/aliases/kept", json={"version_id": TUNED})

    for key, key_id in ((logging["key"], logging["id"]), (made["key"], made["id"])):
        with_key.headers["authorization"] = f"Bearer {key}"
        kept = await logged(client, await ask(with_key, "with a key"))
        assert kept["key_id"] == key_id

    await client.patch(f"/v1/keys/{logging['id']}", json={"store": False})
    assert (await client.get(f"/v1/keys/{logging['id']}")).json()["store"] is False


async def test_what_the_policy_masks_is_kept_masked(house: House):
    client = await logging_alias(house, "masker")

    kept = await logged(client, await ask(client, f"my number is {MASKED}"))

    assert MASKED not in json.dumps(kept)


async def test_without_store_nothing_is_kept(house: House):
    client = house.http(tenant="forgetter")
    await client.put("/v1/aliases/kept", json={"version_id": TUNED})
    await ask(client, "hello")
    other = await logging_alias(house, "rememberer")
    await logged(other, await ask(other, "hello"))

    assert (await client.get("/v1/logs")).json()["data"] == []


async def test_no_text_is_on_the_bus_or_readable_in_the_store(house: House):
    client = await logging_alias(house, "hider")
    request_id = await ask(client, SECRET_WORD, user="ann-of-hider")
    assert SECRET_WORD in json.dumps(await logged(client, request_id))

    said = [str(stored.body) async for stored in house.bus.replay(("log.segment.*", "log.key.*.*"))]
    assert request_id in "".join(said)
    for word in (SECRET_WORD, "ann-of-hider"):
        assert word not in "".join(said)
        assert not holding(Path(house.settings.artifact_root), word)
        assert not holding(house.settings.work_root, word)


def holding(folder: Path, word: str) -> list[Path]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    return [each for each in files if word.encode() in each.read_bytes()]


async def test_a_deleted_users_texts_are_gone_and_others_stay(house: House):
    client = await logging_alias(house, "deleter")
    of_ann = [await ask(client, f"ann {number}", user="ann") for number in range(2)]
    of_ben = await ask(client, "ben", user="ben")
    for request_id in (*of_ann, of_ben):
        await logged(client, request_id)

    deleted = await client.delete("/v1/logs", params={"user": "ann"})

    assert deleted.json()["requests"] == 2
    for request_id in of_ann:
        kept = (await client.get(f"/v1/logs/{request_id}")).json()
        assert (kept["deleted"], kept["messages"], kept["answers"]) == (True, None, None)
    assert (await logged(client, of_ben))["messages"][0]["content"] == "ben"
    again = await client.delete("/v1/logs", params={"user": "ann"})
    assert again.json()["requests"] == 0


async def test_who_comes_back_after_a_deletion_is_kept_anew(house: House):
    client = await logging_alias(house, "returner")
    before = await ask(client, "before", user="ann")
    await logged(client, before)
    await client.delete("/v1/logs", params={"user": "ann"})

    after = await ask(client, "after", user="ann")

    assert (await logged(client, after))["messages"][0]["content"] == "after"
    assert (await logged(client, before))["deleted"] is True


async def test_lists_are_newest_first_and_by_model_version_and_user(house: House):
    client = await logging_alias(house, "lister")
    made = [await ask(client, f"text {it}", user=f"user-{it % 2}") for it in range(4)]
    for request_id in made:
        await logged(client, request_id)

    async def ids(**query: Any) -> list[str]:
        answer = await client.get("/v1/logs", params=query)
        return [each["id"] for each in answer.json()["data"]]

    assert await ids() == made[::-1]
    assert await ids(limit=2) == made[:1:-1]
    assert await ids(limit=2, after=made[2]) == made[1::-1]
    assert await ids(user="user-1") == [made[3], made[1]]
    assert await ids(model="kept", version_id=TUNED) == made[::-1]
    assert await ids(model="other") == []


async def test_another_tenant_finds_and_deletes_nothing(house: House):
    client = await logging_alias(house, "owner-of-logs")
    request_id = await ask(client, "mine", user="ann")
    await logged(client, request_id)
    other = house.http(tenant="other-of-logs")

    assert (await other.get(f"/v1/logs/{request_id}")).status_code == 404
    assert (await other.get("/v1/logs")).json()["data"] == []
    assert (await other.delete("/v1/logs", params={"user": "ann"})).json()["requests"] == 0
    assert (await logged(client, request_id))["deleted"] is False


async def test_what_was_kept_long_enough_is_erased(house: House):
    client = await logging_alias(house, "expirer")
    request_id = await ask(client, "old")
    await logged(client, request_id)
    segments = [it.body async for it in house.bus.replay((log_segment("expirer"),))]

    store = store_of(house.settings)
    later = max(it.at.seconds for it in segments) + 3600
    expired = await ExpireLog(house.bus, lambda: store, 3000.0, lambda: later).expire()

    assert expired >= len(segments)
    assert (await client.get(f"/v1/logs/{request_id}")).status_code == 404
    assert store.present([it.digest for it in segments]) == set()


async def test_without_a_key_to_seal_with_an_alias_that_stores_is_refused(house: House):
    async with another_gateway(house, webhook_key=None) as other:
        client = other.house.http(tenant="sealess")
        moved = await client.put("/v1/aliases/kept", json={"version_id": TUNED, "store": True})
        shown = await client.get("/v1/logs")

    assert (moved.status_code, shown.status_code) == (409, 409)
    assert "GATEWAY_WEBHOOK_KEY" in moved.json()["error"]["message"]


async def test_what_waits_at_the_end_is_stored(house: House):
    async with another_gateway(house, log_seconds=3600.0) as other:
        client = await logging_alias(other.house, "leaver")
        request_id = await ask(client, "last words")
        await asyncio.sleep(0)
    client = house.http(tenant="leaver")

    assert (await logged(client, request_id))["messages"][0]["content"] == "last words"
