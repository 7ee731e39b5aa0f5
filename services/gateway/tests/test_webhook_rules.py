"""The rules of webhooks that need no network: signatures, waits, places."""

import base64
import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from gateway_support.receiver import Received, is_genuine
from modelmill_gateway.domain.public_addresses import is_public
from modelmill_gateway.domain.webhooks import (
    JITTER,
    LONGEST_PUT_OFF_SECONDS,
    DeliverySlots,
    Event,
    Schedule,
    delivery_id,
    signed_headers,
    written_secret,
)
from modelmill_gateway.settings import Settings

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FIELDS = Settings.model_fields
SCHEDULE = Schedule(
    FIELDS["webhook_retry_seconds"].default,
    timedelta(seconds=FIELDS["webhook_disable_seconds"].default),
)


def test_a_signature_is_that_of_standard_webhooks():
    """The example that its specification and its libraries share."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
        [secret],
    )

    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("change", ["nothing", "body", "secret", "age"])
def test_the_example_takes_what_is_genuine_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, change: str
):
    secret, body = bytes(32), b'{"type":"job.failed"}'
    headers = signed_headers("msg_1", NOW, body, [secret])
    late = timedelta(seconds=301 if change == "age" else 299)
    monkeypatch.setattr("time.time", lambda: (NOW + late).timestamp())
    request = Received("", headers, body + b" " if change == "body" else body)

    told = written_secret(secret[1:] + b"x" if change == "secret" else secret)
    assert is_genuine(told, request) == (change == "nothing")


def test_an_id_is_of_one_endpoint_and_one_event():
    ids = {delivery_id(hook, event) for hook in ("wh-1", "wh-2") for event in ("a", "b")}

    assert len(ids) == 4
    assert delivery_id("wh-1", "a") in ids


def test_attempts_go_on_beyond_the_time_after_which_an_endpoint_is_disabled():
    at = timedelta(0)
    for attempt in range(1, len(SCHEDULE.waits) + 1):
        wait = SCHEDULE.wait_after(attempt, retry_after=None, chance=0.0)
        assert wait is not None
        at += wait

    assert SCHEDULE.gives_up(NOW, NOW + at)
    assert at * (1 + JITTER) < timedelta(hours=96), "the stream keeps none for longer"
    assert SCHEDULE.wait_after(len(SCHEDULE.waits) + 1, retry_after=5, chance=0.0) is None


@pytest.mark.parametrize(
    ("retry_after", "chance", "seconds"),
    [(None, 0.0, 5), (None, 1.0, 5.5), (2, 0.0, 5), (60, 1.0, 60), (10**8, 0.0, 86_400)],
)
def test_a_wait_has_jitter_and_is_made_longer_but_never_shorter_by_the_receiver(
    retry_after: float | None, chance: float, seconds: float
):
    wait = SCHEDULE.wait_after(1, retry_after=retry_after, chance=chance)

    assert wait == timedelta(seconds=seconds)


def test_an_event_of_days_ago_is_no_news():
    def event(at: datetime) -> Event:
        return Event("key", "model.ready", "acme", at, "MODELS", 1, {})

    assert event(NOW - timedelta(days=2)).is_news(NOW)
    assert not event(NOW - timedelta(days=3, seconds=1)).is_news(NOW)


def test_a_figure_that_json_does_not_know_is_told_as_null():
    metrics = {"loss": float("nan"), "rate": float("inf"), "accuracy": 0.5}
    event = Event("key", "model.ready", "acme", NOW, "MODELS", 1, {"metrics": metrics})

    assert event.payload() == (
        '{"type":"model.ready","timestamp":"2026-11-25T12:00:00.000Z",'
        '"data":{"metrics":{"loss":null,"rate":null,"accuracy":0.5}}}'
    )


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "2606:2800:21f:cb07::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
        "2606:4700::5efe:808:808",
        "2606:4700::200:5efe:808:808",
    ],
)
def test_a_public_address_is_public_in_every_form(address: str):
    assert is_public(address)


PRIVATE = ("127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0")
FORMS = {
    "mapped": "::ffff:{0}",
    "compatible": "::{0}",
    "translated": "::ffff:0:{0}",
    "NAT64": "64:ff9b::{0}",
    "NAT64 of one's own": "64:ff9b:1::{0}",
    "ISATAP": "2606:4700::5efe:{0}",
    "ISATAP, universal": "2606:4700::200:5efe:{0}",
    "ISATAP, group": "2606:4700::100:5efe:{0}",
    "ISATAP, both": "2606:4700::300:5efe:{0}",
    "ISATAP, link": "fe80::5efe:{0}",
    "ISATAP below 6to4": "2002:808:808::5efe:{0}",
    "Teredo": "2001:0:{1}::",
    "6to4": "2002:{1}::1",
}


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_private_address_is_private_in_every_form(form: str, address: str):
    digits = ipaddress.IPv4Address(address).packed.hex()
    hidden = ipaddress.ip_address(form.format(address, f"{digits[:4]}:{digits[4:]}"))
    assert not is_public(str(hidden))


def slots() -> DeliverySlots:
    return DeliverySlots(overall=8, each_tenant=5, each=3)


def test_an_endpoint_that_works_has_several_places_and_another_one():
    places = slots()

    assert [places.acquire("wh-1", "a", works=True) for _ in range(4)] == [True, True, True, False]
    assert [places.acquire("wh-2", "b", works=False) for _ in range(2)] == [True, False]
    places.release("wh-2", "b")
    assert places.acquire("wh-2", "b", works=True)


def test_endpoints_that_do_not_work_never_take_more_than_half_of_the_places():
    places = slots()
    taken = [places.acquire(f"wh-{number}", f"tenant-{number}", works=False) for number in range(8)]

    assert taken == [True] * 4 + [False] * 4
    assert places.acquire("wh-9", "other", works=True)
    places.release("wh-0", "tenant-0")
    assert places.acquire("wh-5", "tenant-5", works=False)


def test_a_tenant_and_all_together_have_so_many_places():
    places = slots()
    assert sum(places.acquire(f"wh-{number}", "a", works=True) for number in range(8)) == 5
    assert sum(places.acquire(f"wh-b{number}", "b", works=True) for number in range(8)) == 3


def test_what_waits_for_one_endpoint_looks_again_one_after_the_other():
    places = slots()
    waits = [places.put_off("wh-1", 100.0, works=False) for _ in range(1000)]

    assert waits[:3] == [0.5, 1.0, 1.5]
    assert max(waits) == LONGEST_PUT_OFF_SECONDS
    assert places.put_off("wh-2", 100.0, works=True) < 0.2
