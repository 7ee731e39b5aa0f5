"""A content-safety service on a real socket: what is asked of it, and what of it may go wrong."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmill_moderation.adapters.safety_service import SafetyService
from modelmill_moderation.domain.judge_answers import Failure
from modelmill_moderation.safety_service_settings import SafetyServiceSettings
from modelmill_service_kit.errors import InvalidInputError
from modelmill_testkit.ports import free_port
from moderation_support.safety_client import Clock, asked, failure_of, service_at
from moderation_support.safety_server import (
    AZURE_PATH,
    HIGH,
    LOW,
    PATH,
    Behaviour,
    SafetyServer,
    body,
    broken_off,
    endless,
    hang,
    saying,
    scores,
    serving,
    status,
    trickle,
    view,
)


async def test_a_text_is_posted_as_openai_has_it_and_its_scores_are_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    server = SafetyServer()
    async with asked(server, model="omni", token_file=token) as (service, _):
        assert await service.scores("full of hate, 仇恨") == {"hate": HIGH, "violence": LOW}
        token.write_text("second\n")
        await service.scores("another text")

    assert server.bodies[0] == {"input": "full of hate, 仇恨", "model": "omni"}
    assert [headers["authorization"] for headers in server.headers] == [
        "Bearer first",
        "Bearer second",
    ]


async def test_azure_is_asked_and_read_in_its_own_way(tmp_path: Path) -> None:
    token = tmp_path / "key"
    token.write_text("a-key")
    server = SafetyServer()
    async with serving(server) as url:
        azure = url.replace(PATH, f"{AZURE_PATH}?api-version=2024-09-01")
        async with service_at(azure, style="azure", token_file=token) as (service, _):
            assert await service.scores("full of hate") == {"Hate": 6 / 7, "Violence": 0}
    assert server.bodies == [{"text": "full of hate", "outputType": "EightSeverityLevels"}]
    (headers,) = server.headers
    assert headers["ocp-apim-subscription-key"] == "a-key"
    assert "authorization" not in headers


NOT_PROBABILITIES = [True, "0.5", None, 1.5, -0.1, float("nan"), float("inf"), [0.5]]


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (status(400), Failure.REFUSED),
        (status(413), Failure.REFUSED),
        (status(401), Failure.DENIED),
        (status(403), Failure.DENIED),
        (status(404), Failure.BAD_ANSWER),
        (status(204), Failure.BAD_ANSWER),
        (status(429), Failure.BUSY),
        (status(500), Failure.BROKEN),
        (status(503), Failure.BROKEN),
        (endless, Failure.BAD_ANSWER),
        (broken_off, Failure.UNREACHABLE),
        (body(b"not json"), Failure.BAD_ANSWER),
        (body(b"[" * 60_000), Failure.BAD_ANSWER),
        (body(b"{}"), Failure.BAD_ANSWER),
        (body(b'{"results": []}'), Failure.BAD_ANSWER),
        (body(b'{"results": [1]}'), Failure.BAD_ANSWER),
        (body(b'{"results": [{"category_scores": [["hate", 1]]}]}'), Failure.BAD_ANSWER),
        (body(json.dumps(view("x") | {"results": [{}, {}]}).encode()), Failure.BAD_ANSWER),
        (
            body(gzip.compress(json.dumps(view("x")).encode()), content_encoding="gzip"),
            Failure.BAD_ANSWER,
        ),
        (scores(**{f"c{number}": 0.5 for number in range(300)}), Failure.BAD_ANSWER),
        (scores(**{"x" * 200: 0.5}), Failure.BAD_ANSWER),
        *((scores(hate=value), Failure.BAD_ANSWER) for value in NOT_PROBABILITIES),
    ],
)
async def test_whatever_is_no_answer_is_no_opinion(behaviour: Behaviour, failure: Failure) -> None:
    async with asked(SafetyServer(always=behaviour), timeout_seconds=20) as (service, _):
        assert await failure_of(service) is failure


@pytest.mark.parametrize("behaviour", [hang, trickle])
async def test_what_is_not_whole_in_time_is_no_opinion(behaviour: Behaviour) -> None:
    async with asked(SafetyServer(always=behaviour), timeout_seconds=0.5) as (service, _):
        assert await failure_of(service) is Failure.TIMEOUT


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200", b"\x00\xff garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
)
async def test_a_peer_that_hangs_up_or_speaks_no_http_gives_no_opinion(reply: bytes) -> None:
    async with saying(reply) as url, service_at(url, timeout_seconds=5) as (service, _):
        assert await failure_of(service) in (Failure.UNREACHABLE, Failure.BAD_ANSWER)


async def test_an_unreachable_service_gives_no_opinion() -> None:
    async with service_at(f"http://127.0.0.1:{free_port()}/") as (service, _):
        assert await failure_of(service) is Failure.UNREACHABLE


@pytest.mark.parametrize("ill", [status(503), status(429), status(500), broken_off])
async def test_what_may_be_over_in_a_moment_is_tried_again(ill: Behaviour) -> None:
    server = SafetyServer(next=[ill, ill])
    async with asked(server, attempts=3, chance=0.5) as (service, sleeper):
        assert (await service.scores("hate"))["hate"] == HIGH
    assert sleeper.waits == [0.05, 0.1]


@pytest.mark.parametrize("ill", [status(400), status(401), status(404), body(b"{}"), endless])
async def test_what_will_be_the_same_again_is_not(ill: Behaviour) -> None:
    server = SafetyServer(next=[ill])
    async with serving(server) as url, service_at(url, attempts=5) as (service, _):
        await failure_of(service)
    assert len(server.texts) == 1


async def test_there_are_no_more_attempts_than_were_asked_for() -> None:
    server = SafetyServer(always=status(503))
    async with asked(server, attempts=5, chance=1.0) as (service, sleeper):
        assert await failure_of(service) is Failure.BROKEN
    assert len(server.texts) == 5
    assert sleeper.waits == [0.1, 0.2, 0.4, 0.8]


async def test_a_wait_that_is_asked_for_is_kept_to_or_not_begun() -> None:
    server = SafetyServer(next=[status(429, retry_after="1"), status(503, retry_after="9")])
    async with asked(server, attempts=5, timeout_seconds=5) as (service, sleeper):
        assert await failure_of(service) is Failure.BROKEN
    assert sleeper.waits == [1.0]


async def test_a_redirect_is_not_followed_and_no_cookie_is_kept() -> None:
    elsewhere = SafetyServer()
    async with serving(elsewhere) as other:
        server = SafetyServer(next=[status(307, location=other, set_cookie="a=b; Path=/")])
        async with serving(server) as url, service_at(url) as (service, _):
            assert await failure_of(service) is Failure.BAD_ANSWER
            await service.scores("hate")
        assert elsewhere.texts == []
    assert all("cookie" not in headers for headers in server.headers)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with serving(SafetyServer()) as url, service_at(url) as (service, _):
        assert (await service.scores("hate"))["hate"] == HIGH


async def test_a_text_is_sent_once_until_its_answer_is_old_or_others_took_its_place() -> None:
    server, clock = SafetyServer(), Clock()
    async with asked(server, clock=clock, cache_entries=2, cache_seconds=300) as (service, _):

        async def is_sent(text: str) -> bool:
            before = len(server.texts)
            await service.scores(text)
            return len(server.texts) > before

        assert [await is_sent(text) for text in ("a", "a", "b", "a", "c", "a", "b")] == [
            *(True, False, True, False, True, False, True)
        ]
        clock.now = 300
        assert await is_sent("b")


async def test_failures_are_not_remembered_and_without_room_nothing_is() -> None:
    server = SafetyServer(next=[status(400)])
    async with serving(server) as url, service_at(url, cache_entries=0) as (service, _):
        await failure_of(service, "a")
        await service.scores("a")
        await service.scores("a")
    assert server.texts == ["a"] * 3


@pytest.mark.parametrize(
    "write", [lambda path: None, lambda path: path.write_text(" "), lambda path: path.mkdir()]
)
@pytest.mark.parametrize("setting", ["token_file", "ca_file"])
def test_a_token_or_authority_that_cannot_be_read_is_said_at_the_start(
    tmp_path: Path, write: Callable[[Path], object], setting: str
) -> None:
    file = tmp_path / "file"
    write(file)
    settings: Any = {"url": "https://127.0.0.1/", setting: file}
    with pytest.raises(InvalidInputError, match="safety service test: "):
        SafetyService("test", SafetyServiceSettings(**settings))
