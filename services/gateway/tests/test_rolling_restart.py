"""Replicas are replaced one after the other under load, and nobody hears of it."""

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import openai
import pytest
from gateway_support.balancer import Balancer, balancer
from gateway_support.house import House
from gateway_support.process import running
from modelmill_service_kit.process import LAME_DUCK
from modelmill_testkit.service_process import ServiceProcess
from modelmill_testkit.waiting import eventually

QUESTION = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
CALLERS = 6
NOTICE = {"drain_notice_seconds": "0.5", "drain_seconds": "10"}


async def ask_without_end(client: openai.AsyncOpenAI, told: Counter[str], *, stream: bool) -> None:
    while True:
        try:
            if stream:
                chunks = await client.chat.completions.create(**QUESTION, stream=True)
                ends = [chunk.choices[0].finish_reason async for chunk in chunks]
                told["whole" if ends[-1] == "stop" else "cut"] += 1
            else:
                await client.chat.completions.create(**QUESTION)
                told["whole"] += 1
        except (openai.APIError, httpx.TransportError) as error:
            told[repr(error)] += 1


async def start(stack: AsyncExitStack, house: House, balancing: Balancer) -> ServiceProcess:
    service, _ = await stack.enter_async_context(running(house, **NOTICE))
    balancing.add(service.ports["http"])
    await eventually(lambda: service.ports["http"] in balancing.ready)
    return service


@pytest.mark.tier("drills")
async def test_a_rolling_restart_of_two_replicas_under_load_fails_no_request(own_house: House):
    own_house.inference.pieces = ["word "] * 50
    told: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        balancing = await stack.enter_async_context(balancer())
        replicas = [await start(stack, own_house, balancing) for _ in range(2)]
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{balancing.port}/v1",
            api_key=own_house.issuer.token(),
            max_retries=0,
        )
        callers = [
            asyncio.create_task(ask_without_end(client, told, stream=number % 2 == 0))
            for number in range(CALLERS)
        ]
        for replica in replicas:
            await start(stack, own_house, balancing)
            before = told["whole"]
            assert await replica.stop(signal.SIGTERM) == 0
            await eventually(lambda before=before: told["whole"] > before + CALLERS)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await client.close()

    assert told.keys() == {"whole"}, told


async def asked_between_the_end_and_the_next_look(house: House, notice: str) -> Counter[str]:
    """What callers hear whom a balancer sends to a replica of which it does not know that it ends.

    Half of them come over connections that stand, half over new ones.
    """
    told: Counter[str] = Counter()
    async with (
        balancer(looks_by_itself=False) as balancing,
        running(house, drain_notice_seconds=notice) as (ending, direct),
        running(house) as (staying, _),
        AsyncExitStack() as stack,
    ):
        for replica in (ending, staying):
            balancing.add(replica.ports["http"])
        await balancing.look()
        headers = {"authorization": f"Bearer {house.issuer.token()}"}

        def client() -> httpx.AsyncClient:
            url = f"http://127.0.0.1:{balancing.port}"
            return httpx.AsyncClient(base_url=url, headers=headers, timeout=10)

        kept = [await stack.enter_async_context(client()) for _ in range(CALLERS)]
        assert [await asked(each) for each in kept] == ["200"] * CALLERS

        ending.process.send_signal(signal.SIGTERM)
        await (eventually(lambda: is_leaving(direct)) if notice else ending.ended())
        new = [await stack.enter_async_context(client()) for _ in range(CALLERS)]
        for each in (*kept, *kept, *new):
            told[await asked(each)] += 1
        await balancing.look()
        assert balancing.ready == [staying.ports["http"]]
        assert [await asked(each) for each in kept] == ["200"] * CALLERS
        assert await ending.ended() == 0
    return told


async def is_leaving(direct: httpx.AsyncClient) -> bool:
    return (await direct.get("/readyz")).status_code == 503


async def asked(client: httpx.AsyncClient) -> str:
    try:
        return str((await client.post("/v1/chat/completions", json=QUESTION)).status_code)
    except httpx.TransportError as error:
        return type(error).__name__


@pytest.mark.tier("drills")
async def test_with_notice_nobody_fails_before_a_balancer_looks_again(own_house: House):
    told = await asked_between_the_end_and_the_next_look(own_house, "5")

    assert told == {"200": 3 * CALLERS}


@pytest.mark.tier("drills")
async def test_without_notice_they_do_so_the_notice_is_needed(own_house: House):
    told = await asked_between_the_end_and_the_next_look(own_house, "")

    assert told["200"] < 3 * CALLERS
    assert told.keys() <= {"200", "ConnectError", "ReadError", "RemoteProtocolError"}


async def test_a_gateway_that_ends_says_so_and_finishes_what_it_has(own_house: House):
    own_house.inference.endless = True
    async with running(own_house, drain_notice_seconds="8", drain_seconds="1") as (service, client):
        client.headers["authorization"] = f"Bearer {own_house.issuer.token()}"
        before = await client.get("/readyz")
        async with client.stream(
            "POST", "/v1/chat/completions", json=QUESTION | {"stream": True}
        ) as answer:
            await anext(answer.aiter_lines())
            service.process.send_signal(signal.SIGTERM)

            async def draining() -> bool:
                return (await client.get("/readyz")).status_code == 503

            await eventually(draining)
            told = await client.get("/healthz")
            models = await client.get("/v1/models")
        assert await service.ended() == 0

    assert (before.status_code, "connection" in before.headers) == (200, False)
    assert (told.json()["error"]["code"], told.headers["connection"]) == ("draining", "close")
    assert (models.status_code, models.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_a_plain_stop_cuts_what_a_lame_duck_has_in_hand_after_the_ordinary_drain(
    own_house: House, processes: str
):
    own_house.inference.endless = True
    async with running(own_house, processes=processes, drain_seconds="1") as (service, client):
        client.headers["authorization"] = f"Bearer {own_house.issuer.token()}"
        async with client.stream(
            "POST", "/v1/chat/completions", json=QUESTION | {"stream": True}
        ) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            service.process.send_signal(LAME_DUCK)
            await eventually(lambda: is_leaving(client))
            with pytest.raises(TimeoutError):
                await service.ended(within=3)
            assert await anext(lines) is not None

            service.process.send_signal(signal.SIGTERM)
            assert await service.ended(within=30) == 0, service.errors
