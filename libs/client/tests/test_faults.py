"""What fails: what is repeated, what is not, and what is said. Answers are made up for it."""

import json
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelmill_client import (
    ApiStatusError,
    ConnectionFailedError,
    Modelmill,
    ModelmillError,
    Retries,
    SetupError,
)
from modelmill_client.wire import EventParser, Patience

Faulty = Callable[..., Any]
GOOD = {"id": "file-1"}
KEYED = {"idempotency_key": "once"}
CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda client: client.files.retrieve("file-1"),
    "put": lambda client: client.aliases.set("kinds", version_id="mv-1"),
    "delete": lambda client: client.files.delete("file-1"),
    "preview": lambda client: client.datasets.preview(file_id="file-1", mapping={}),
    "keyed": lambda client: client.datasets.create(file_id="file-1", mapping={}, **KEYED),
    "content": lambda client: client.files.content("file-1"),
    "policy": lambda client: client.policies.set(documents=[]),
    "moderate": lambda client: client.moderations.create(input="text"),
    "stop": lambda client: client.experiments.stop("exp-1"),
    "create": lambda client: client.datasets.create(file_id="file-1", mapping={}),
    "upload": lambda client: client.files.upload(b"{}"),
    "pause": lambda client: client.jobs.pause("ftjob-1"),
    "key": lambda client: client.keys.create(name="ci"),
    "generate": lambda client: client.generate(prompt="hello"),
    "expected": lambda client: client.policies.set(documents=[], expected_digest="sha256:1"),
}
REPEATED = ("get", "put", "delete", "preview", "keyed", "content", "policy", "moderate", "stop")
FAULTS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "429 with Retry-After": lambda _: httpx.Response(429, headers={"retry-after": "0"}),
    "502": lambda _: httpx.Response(502, text="<html>bad gateway</html>"),
    "503": lambda _: httpx.Response(503, json={"error": {"message": "full"}}),
    "504": lambda _: httpx.Response(504, json={"error": {"message": "late"}}),
    "refused": lambda request: _raise(httpx.ConnectError("refused", request=request)),
    "lost": lambda request: _raise(httpx.RemoteProtocolError("lost", request=request)),
}
LASTING: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "429": lambda _: httpx.Response(429, json={"error": {"code": "insufficient_quota"}}),
    "a long Retry-After": lambda _: httpx.Response(503, headers={"retry-after": "31"}),
    "404": lambda _: httpx.Response(404, json={"error": {"message": "no file"}}),
    "500": lambda _: httpx.Response(500, json={"error": {"message": "internal error"}}),
    "silent": lambda request: _raise(httpx.ReadTimeout("", request=request)),
}


def _raise(error: Exception) -> httpx.Response:
    raise error


class Script:
    """Answers each request with the next of some answers, and the last one for ever."""

    def __init__(self, *answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        at = min(len(self.requests), len(self._answers)) - 1
        return self._answers[at](request)


def good(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=GOOD)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", REPEATED)
async def test_what_may_pass_is_repeated_where_it_does_no_harm(
    faulty: Faulty, call: str, fault: str
):
    script = Script(FAULTS[fault], FAULTS[fault], good)
    answer = await CALLS[call](faulty(script))
    assert (json.loads(answer) if call == "content" else answer) == GOOD
    assert len(script.requests) == 3


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", [name for name in CALLS if name not in REPEATED])
async def test_what_may_be_done_twice_is_not_repeated(faulty: Faulty, call: str, fault: str):
    script = Script(FAULTS[fault], good)
    with pytest.raises((ApiStatusError, ConnectionFailedError)) as failed:
        await CALLS[call](faulty(script))
    assert failed.value.may_pass
    assert len(script.requests) == 1


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("call", ["get", "keyed"])
async def test_what_does_not_pass_soon_is_not_repeated(faulty: Faulty, call: str, fault: str):
    script = Script(LASTING[fault], good)
    with pytest.raises((ApiStatusError, ConnectionFailedError)):
        await CALLS[call](faulty(script))
    assert len(script.requests) == 1


async def test_repetitions_are_bounded_and_each_has_the_same_key(faulty: Faulty):
    script = Script(FAULTS["503"])
    with pytest.raises(ApiStatusError, match=r"POST /v1/datasets: 503: full"):
        await CALLS["keyed"](faulty(script, retries=Retries(times=4, first_wait_seconds=0)))
    assert [it.headers["idempotency-key"] for it in script.requests] == ["once"] * 5
    assert len({it.content for it in script.requests}) == 1


def test_waits_double_and_retry_after_decides():
    retries = Retries(times=3, first_wait_seconds=1)
    lost, asked = ConnectionFailedError("lost"), ApiStatusError("GET /", 429, {}, retry_after=7)
    waits = [retries.wait_after(attempt, lost) for attempt in range(4)]

    assert waits[3] is None
    for wait, longest in zip(waits, (1, 2, 4), strict=False):
        assert wait is not None
        assert longest / 2 <= wait <= longest
    assert retries.wait_after(0, asked) == 7


def test_a_stream_is_made_anew_after_a_second_or_what_the_gateway_asks_for():
    def asked(seconds: float | None) -> ApiStatusError:
        return ApiStatusError("GET /", 503, {}, retry_after=seconds)

    retries = Retries()
    lost = (None, ConnectionFailedError("lost"), asked(None), asked(0), asked(7), asked(3600))
    assert [retries.wait_to_reconnect(it) for it in lost] == [1, 1, 1, 1, 7, 30]


@pytest.mark.parametrize("wrong", ["", ".", ".."])
async def test_what_would_lead_to_another_path_is_no_id(faulty: Faulty, wrong: str):
    script = Script(good)
    with pytest.raises(ModelmillError, match=r"is not an id\. Give one that a list shows"):
        await faulty(script).files.delete(wrong)
    assert script.requests == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (FAULTS["502"], "GET /v1/files/file-1: 502: <html>bad gateway</html>"),
        (lambda _: httpx.Response(503), "GET /v1/files/file-1: 503: Service Unavailable"),
        (lambda _: httpx.Response(403, json={"error": "no"}), '403: {"error":"no"}'),
        (lambda _: httpx.Response(200, text="<html>"), "with no JSON. Is it a gateway?"),
        (FAULTS["refused"], r"does not answer (refused). Is `mill up` running"),
        (LASTING["silent"], "did not answer in time. Give a larger timeout"),
        (FAULTS["lost"], "was lost (lost). Repeat the call"),
    ],
)
async def test_an_error_is_one_line_with_its_remedy(
    faulty: Faulty, answer: Callable[[httpx.Request], httpx.Response], says: str
):
    with pytest.raises(ModelmillError) as failed:
        await CALLS["get"](faulty(Script(answer)))
    assert says in str(failed.value)
    assert "\n" not in str(failed.value)


async def test_a_refusal_has_what_the_gateway_said(faulty: Faulty):
    error = {
        "message": "file_id: field required",
        "code": "invalid_input",
        "param": "file_id",
        "errors": ["file_id: field required", "seed: too large"],
        "request_id": "req-1",
    }
    with pytest.raises(ApiStatusError) as failed:
        await CALLS["get"](faulty(lambda _: httpx.Response(422, json={"error": error})))

    said = failed.value
    assert (said.status, said.code, said.param) == (422, "invalid_input", "file_id")
    assert (said.errors, said.request_id) == (tuple(error["errors"]), "req-1")
    assert (said.error, said.may_pass, said.retry_after) == (error, False, None)


async def test_a_certificate_that_is_not_accepted_says_what_to_do_and_is_not_tried_again(
    faulty: Faulty,
):
    def distrusted(request: httpx.Request) -> httpx.Response:
        cause = ssl.SSLCertVerificationError()
        cause.verify_message = "certificate has expired"
        raise httpx.ConnectError("verify failed", request=request) from cause

    script = Script(distrusted)
    with pytest.raises(ConnectionFailedError, match=r"expired\. Renew it, or name its issuer"):
        await CALLS["get"](faulty(script))
    assert len(script.requests) == 1
    with pytest.raises(ConnectionFailedError, match="Renew it"):
        async for _ in faulty(script).jobs.follow("ftjob-1"):
            pass


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends before it should."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.RemoteProtocolError("peer closed the connection")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


async def test_half_a_download_leaves_what_was_there(faulty: Faulty, tmp_path: Path):
    target = tmp_path / "rows.jsonl"
    target.write_bytes(b"old")

    with pytest.raises(ConnectionFailedError, match="was lost"):
        await faulty(Script(lambda _: httpx.Response(200, stream=Broken(b"ne")))).files.download(
            "file-1", target
        )
    with pytest.raises(ApiStatusError, match="404"):
        await faulty(Script(LASTING["404"])).files.download("file-1", target)
    assert contents(tmp_path) == {"rows.jsonl": b"old"}

    script = Script(
        lambda _: httpx.Response(200, stream=Broken(b"ne")),
        lambda _: httpx.Response(200, content=b"new"),
    )
    await faulty(script).files.download("file-1", target)
    assert contents(tmp_path) == {"rows.jsonl": b"new"}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def sent(event_id: str, **data: Any) -> bytes:
    body = {"object": "job.event", "id": event_id, "data": data}
    return f"id: {event_id}\ndata: {json.dumps(body)}\n\n".encode()


def streamed(content: bytes) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, content=content)


async def test_events_come_once_each_over_several_connections(faulty: Faulty):
    first = b": hello\n\n" + sent("state-1", status="running") + sent("progress-2", step=2)
    third, last = sent("progress-3", step=3), sent("state-9", status="succeeded")
    script = Script(
        streamed(first + third[:-10]),
        lambda _: httpx.Response(200, stream=Broken(third)),
        FAULTS["503"],
        FAULTS["refused"],
        streamed(last),
    )
    ids = [event["id"] async for event in faulty(script).jobs.follow("ftjob-1")]

    assert ids == ["state-1", "progress-2", "progress-3", "state-9"]
    resumed = [request.headers.get("last-event-id") for request in script.requests]
    assert resumed == [None, "progress-2", *["progress-3"] * 3]


async def test_a_stream_whose_last_event_was_seen_ends_without_one(faulty: Faulty):
    script = Script(lambda _: httpx.Response(204))
    seen = [event async for event in faulty(script).jobs.follow("ftjob-1", after="state-9")]
    assert seen == []
    assert script.requests[0].headers["last-event-id"] == "state-9"


async def test_a_gateway_that_stays_away_is_given_up_on_and_a_refusal_ends_it(faulty: Faulty):
    client = faulty(Script(FAULTS["refused"]))
    with pytest.raises(ConnectionFailedError, match=r"no event arrived at .* for 0 s: .*`mill up`"):
        async for _ in client.jobs.follow("ftjob-1", patience_seconds=0):
            pass
    script = Script(LASTING["404"])
    with pytest.raises(ApiStatusError, match="404: no file"):
        async for _ in faulty(script).jobs.follow("ftjob-1"):
            pass
    assert len(script.requests) == 1


def test_patience_begins_anew_with_whatever_is_heard():
    now = 1.0
    patience = Patience(60, clock=lambda: now)
    now = 60.0
    assert not patience.is_over()
    patience.heard()
    now = 119.0
    assert not patience.is_over()
    now = 120.0
    assert patience.is_over()


def test_comments_and_what_is_no_object_are_skipped_and_data_of_many_lines_is_one_event():
    parser = EventParser()
    lines = [
        ": ping",
        "",
        "data: [DONE]",
        "",
        "data: [1]",
        "",
        "id:7",
        'data: {"a":',
        "data: 1}",
        "",
        "data: {}",
    ]
    events = [event for line in lines if (event := parser.feed(line)) is not None]
    assert [(event.id, event.body) for event in events] == [("7", {"a": 1})]


async def test_usage_is_read_page_by_page(faulty: Faulty):
    pages = [{"data": [1, 2], "next_page": "page_2"}, {"data": [3], "next_page": None}]
    script = Script(*(lambda _, it=page: httpx.Response(200, json=it) for page in pages))
    usage = faulty(script).usage.list(start_time=7, group_by=["model", "key"], page_size=2)
    assert [bucket async for bucket in usage] == [1, 2, 3]
    first = "start_time=7&group_by=model&group_by=key&limit=2"
    queries = [request.url.query.decode() for request in script.requests]
    assert queries == [first, f"{first}&page=page_2"]


async def test_a_token_may_be_renewed_between_calls(faulty: Faulty):
    script, tokens = Script(good), iter(["first", "second"])
    client = faulty(script, token=lambda: next(tokens))
    await CALLS["get"](client)
    await CALLS["get"](client)
    assert [it.headers["authorization"] for it in script.requests] == [
        "Bearer first",
        "Bearer second",
    ]


async def test_other_options_share_the_connections(faulty: Faulty):
    script = Script(FAULTS["503"])
    hasty = faulty(script).with_options(retries=Retries(times=0), timeout=1)
    with pytest.raises(ApiStatusError):
        await CALLS["get"](hasty)
    assert len(script.requests) == 1
    assert script.requests[0].extensions["timeout"]["read"] == 1


async def test_a_closed_client_closes_those_with_other_options(half: str, faulty: Faulty):
    client = faulty(good)
    other = client.with_options(timeout=1)
    await CALLS["get"](client)
    await (client.aclose() if half == "async" else client.close())
    with pytest.raises(RuntimeError, match="closed"):
        await CALLS["get"](other)


def test_a_missing_sdk_is_named(monkeypatch: pytest.MonkeyPatch, faulty: Faulty):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SetupError, match=r"Add it by `pip install modelmill-client\[openai\]`"):
        faulty(good).openai()


@pytest.mark.parametrize(
    ("url", "token", "says"),
    [
        (None, "token", "Set MODELMILL_URL"),
        ("http://127.0.0.1", None, "Set MODELMILL_TOKEN"),
        ("127.0.0.1:8080", "token", "is not an address"),
        ("http://[::1", "token", "is not an address"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str | None, token: str | None, says: str
):
    monkeypatch.delenv("MODELMILL_URL", raising=False)
    monkeypatch.delenv("MODELMILL_TOKEN", raising=False)
    with pytest.raises(SetupError, match=says):
        Modelmill(url, token)


def test_the_environment_names_gateway_and_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELMILL_URL", "http://gateway/")
    monkeypatch.setenv("MODELMILL_TOKEN", "of the environment")
    script = Script(good)
    with Modelmill(transport=httpx.MockTransport(script)) as client:
        client.files.retrieve("../keys?a=b")
    assert str(script.requests[0].url) == "http://gateway/v1/files/..%2Fkeys%3Fa%3Db"
    assert script.requests[0].headers["authorization"] == "Bearer of the environment"
