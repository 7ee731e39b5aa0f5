"""Several processes at one pair of ports: all answer, one that dies is replaced, all drain."""

import asyncio
import json
import signal
import socket
from typing import Any

import httpx
import psutil
import pytest
from gateway_support.house import SECRET, House
from gateway_support.process import running, settings_of
from modelmill_testkit.service_process import ServiceProcess, refused_start
from modelmill_testkit.waiting import eventually
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def chat(house: House, **more: Any) -> dict[str, Any]:
    return {
        "headers": {"authorization": f"Bearer {house.issuer.token()}"},
        "json": {"model": "default", "messages": [{"role": "user", "content": "hi"}]} | more,
    }


def listening(service: ServiceProcess) -> dict[int, psutil.Process]:
    """The processes that listen at the HTTP port."""
    port = service.ports["http"]
    return {
        child.pid: child
        for child in psutil.Process(service.pid).children(recursive=True)
        if listens(child, port)
    }


def listens(process: psutil.Process, port: int) -> bool:
    try:
        return any(
            each.status == psutil.CONN_LISTEN and each.laddr.port == port
            for each in process.net_connections("tcp")
        )
    except psutil.NoSuchProcess:  # it ended while it was looked at, as one that was killed may
        return False


def connections_of(process: psutil.Process, port: int) -> int:
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
        for each in process.net_connections("tcp")
    )


async def asked_anew(house: House, client: httpx.AsyncClient) -> int:
    """The status of a chat over a connection of its own."""
    async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as own:
        return (await own.post("/v1/chat/completions", **chat(house))).status_code


@pytest.mark.tier("drills")
async def test_connections_are_dealt_out_and_a_process_that_dies_is_replaced(own_house: House):
    async with running(own_house, processes="2") as (service, client):
        both, port = listening(service), service.ports["http"]
        assert len(both) == 2
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(32)]
        try:
            await eventually(lambda: all(connections_of(each, port) for each in both.values()))
        finally:
            for _, writer in held:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for _, writer in held))

        killed = next(iter(both))
        psutil.Process(killed).kill()

        async def replaced() -> bool:
            return len(listening(service).keys() - {killed}) == 2

        await eventually(replaced)
        statuses = await asyncio.gather(*(asked_anew(own_house, client) for _ in range(16)))
        assert set(statuses) == {200}


async def test_on_sigterm_streams_of_every_process_are_finished(own_house: House):
    own_house.inference.pieces = ["x"] * 60
    async with running(own_house, processes="2", drain_seconds="60") as (service, client):

        async def stream(begun: asyncio.Semaphore) -> str:
            async with (
                httpx.AsyncClient(base_url=client.base_url, timeout=60) as own,
                own.stream(
                    "POST", "/v1/chat/completions", **chat(own_house, stream=True)
                ) as answer,
            ):
                lines = answer.aiter_lines()
                said = [await anext(lines)]
                begun.release()
                return [*said, *[line async for line in lines if line]][-1]

        begun = asyncio.Semaphore(0)
        streams = [asyncio.create_task(stream(begun)) for _ in range(12)]
        for _ in streams:
            await asyncio.wait_for(begun.acquire(), 60)
        service.process.send_signal(signal.SIGTERM)
        last = await asyncio.gather(*streams)

        assert set(last) == {"data: [DONE]"}
        assert await service.ended() == 0, service.errors
        assert listening_nowhere(service)


def listening_nowhere(service: ServiceProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", service.ports["http"])) != 0


async def page_of(service: ServiceProcess) -> list[Sample]:
    """The series of the one page that the service has."""
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(
            f"http://127.0.0.1:{service.ports['metrics']}/metrics",
            headers={"authorization": f"Bearer {SECRET}"},
        )
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "a metric is in two places of the page"
    return [sample for family in families for sample in family.samples]


@pytest.mark.tier("drills")
async def test_one_page_shows_the_metrics_of_all_by_their_process(own_house: House):
    async with running(own_house, processes="2") as (service, client):
        chats = 12
        statuses = [await asked_anew(own_house, client) for _ in range(chats)]
        assert set(statuses) == {200}
        shown = await page_of(service)
        killed = next(iter(listening(service)))
        psutil.Process(killed).kill()

        async def is_back() -> bool:
            told = {(each.name, each.value) for each in await page_of(service)}
            return ("modelmill_gateway_process_restarts_total", 1.0) in told and (
                "modelmill_gateway_process_up",
                0.0,
            ) not in told

        await eventually(is_back)

    answered = [each for each in shown if each.name == "modelmill_http_requests_total"]
    of_chats = [each for each in answered if each.labels["route"] == "chat"]
    assert sum(each.value for each in of_chats) == chats
    by_name: dict[str, list[dict[str, str]]] = {}
    for each in shown:
        by_name.setdefault(each.name, []).append(each.labels)
    both = [{"process": "0"}, {"process": "1"}]
    assert by_name["modelmill_gateway_process_up"] == both
    assert by_name["modelmill_answers_waiting"] == both
    assert by_name["process_resident_memory_bytes"] == both
    assert by_name["modelmill_process_tree_resident_bytes"] == [{}]
    assert len(by_name["modelmill_build_info"]) == 1


async def test_limits_of_the_service_are_shared_out_among_its_processes(own_house: House):
    limits = {"tokens_in_hand": "1001", "max_connections": "1"}
    async with running(own_house, processes="2", **limits) as (service, _):
        told = await page_of(service)
        connections = {
            child.environ()["GATEWAY_MAX_CONNECTIONS"] for child in listening(service).values()
        }

    tokens = [each.value for each in told if each.name == "modelmill_answer_tokens_limit"]
    assert (tokens, connections) == ([500, 500], {"1"})


async def test_no_limit_is_none_of_each(own_house: House):
    async with running(own_house, processes="2", tokens_in_hand="0") as (service, _):
        told = await page_of(service)

    tokens = [each.value for each in told if each.name == "modelmill_answer_tokens_limit"]
    assert tokens == [0, 0]


async def test_a_port_that_somebody_has_is_refused_although_ports_are_shared(own_house: House):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        settings = settings_of(own_house, processes="2", http_address=f"127.0.0.1:{port}")
        status, said = await refused_start("gateway", settings)
    assert status == 2
    assert said == [f"gateway: cannot listen on 127.0.0.1:{port}: Address already in use"]


async def test_one_that_cannot_start_ends_all_with_its_own_words(own_house: House):
    settings = settings_of(own_house, processes="2", jwks_path="/nowhere/jwks.json")
    status, said = await refused_start("gateway", settings)
    assert status == 2
    assert any("jwks.json" in line for line in said)
    assert json.dumps(said).count("Traceback") == 0
