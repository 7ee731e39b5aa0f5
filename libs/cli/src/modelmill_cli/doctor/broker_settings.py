"""Checks of the broker's configuration file."""

import re
from collections.abc import Iterator

from modelmill_service_kit.checks import Check, FindingSeverity, Symptom

from modelmill_cli.doctor.examined import BrokerFacts

LEAST_PAYLOAD_BYTES = 1_000_000
"""What one message of ours may have."""
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
BINARY_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE = re.compile(r"(\d+)\s*([KMGT]?)(I?B)?", re.IGNORECASE)
QUOTED_OR_REMARK = re.compile(r'"[^"\n]*"|(?:#|//)[^\n]*')
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


def plain_settings(text: str) -> str:
    """The text without remarks; `//` in a quoted address is none."""
    return QUOTED_OR_REMARK.sub(lambda it: it[0] if it[0].startswith('"') else "", text)


def setting(text: str, *names: str) -> str | None:
    """The last value of a setting, without quotes; None where it is not set."""
    words = "|".join(map(re.escape, names))
    found = re.findall(rf'(?im)(?:^|[{{,;\s])(?:{words})\s*[:=\s]\s*("[^"]*"|[^\s,;}}{{]+)', text)
    return found[-1].strip('"') if found else None


def has_block(text: str, name: str) -> bool:
    """Whether there is a block of settings, or one that is included."""
    return re.search(rf"(?im)(?:^|[{{,;\s]){name}\s*[:=]?\s*\{{", text) is not None


def size_of(value: str) -> int:
    """Bytes, as the broker reads them; -1 for what is no size."""
    found = SIZE.fullmatch(value.strip())
    if found is None:
        return -1
    unit = found[2].upper()
    # The broker counts KB, MB and GB in powers of two, and K, M and G of ten.
    return int(found[1]) * (BINARY_UNITS[unit] if unit and found[3] else UNITS[unit])


def _text(it: BrokerFacts) -> Iterator[str]:
    """The configuration, if there is one."""
    if it.broker_config is not None:
        yield plain_settings(it.broker_config)


def sync(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether an acknowledgement means that the message is on the disk."""
    for text in _text(it):
        value = setting(text, "sync_interval", "sync")
        if value is None or value.lower() != "always":
            yield Symptom(
                f"the broker's sync_interval is {value or 'not set (2 minutes)'}: a power cut loses"
                " jobs that were acknowledged",
                "Set `sync_interval: always` within `jetstream` and start the broker again",
            )


def payload(it: BrokerFacts) -> Iterator[Symptom]:
    """How large a message may be."""
    found: int | None = None
    for text in _text(it):
        value = setting(text, "max_payload")
        found = size_of(value) if value is not None else None
    if it.broker is not None:
        found = it.broker.max_payload_bytes
    if found is not None and found < LEAST_PAYLOAD_BYTES:
        yield Symptom(
            f"the broker takes messages of {found:,} bytes at most",
            "Set `max_payload: 1MB`, the broker's default, and start it again",
        )


def jetstream(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether there are streams at all."""
    for text in _text(it):
        if not has_block(text, "jetstream") and setting(text, "jetstream") not in ("enabled", "on"):
            yield Symptom(
                "the broker's configuration has no `jetstream`, so that nothing can be stored",
                "Add `jetstream { store_dir: ..., sync_interval: always }` and start it again",
            )


def room(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether the streams fit into what the broker may store."""
    from modelmill_bus.subjects import STREAMS

    needed = sum(stream.max_bytes for stream in STREAMS)
    for text in _text(it):
        value = setting(text, "max_file_store", "max_file")
        if value is not None and 0 <= size_of(value) < needed:
            yield Symptom(
                f"the broker may store {value}, and the streams are made for {needed:,} bytes",
                f"Set `max_file_store: {-(-needed // (1 << 30))}GB` or more and start it again",
            )


def admits_all(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether whoever connects must show something."""
    for text in _text(it):
        asks = has_block(text, "authorization") or has_block(text, "accounts")
        if not asks and setting(text, "include", "operator") is None:
            yield Symptom(
                "the broker lets in whoever connects",
                "Make identities with `mill bus identities FOLDER`, and include its users.conf",
            )


def unencrypted(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether other machines reach the broker without TLS."""
    for text in _text(it):
        address = setting(text, "listen", "host", "net") or "0.0.0.0"
        if not address.startswith(LOOPBACK) and not has_block(text, "tls"):
            yield Symptom(
                f"the broker listens on {address} without TLS",
                "Listen on 127.0.0.1, or add `tls` as in deploy/nats",
            )


def traces(it: BrokerFacts) -> Iterator[Symptom]:
    """Whether the broker logs what messages hold."""
    for text in _text(it):
        for word in ("trace", "trace_verbose"):
            if (setting(text, word) or "").lower() in ("true", "yes", "on", "1"):
                yield Symptom(
                    f"the broker has `{word}` on, and logs what people write",
                    f"Take `{word}` out, start it again and delete that log",
                )


CHECKS = (
    Check("broker-sync", FindingSeverity.ERROR, "the broker has `sync_interval: always`", sync),
    Check("broker-payload", FindingSeverity.ERROR, "it takes messages of 1 MB", payload),
    Check("broker-jetstream", FindingSeverity.ERROR, "it has JetStream", jetstream),
    Check("broker-room", FindingSeverity.ERROR, "all streams fit into `max_file_store`", room),
    Check("broker-open", FindingSeverity.ERROR, "it asks who connects", admits_all),
    Check("broker-plain", FindingSeverity.ERROR, "beyond loopback it speaks TLS", unencrypted),
    Check("broker-trace", FindingSeverity.ERROR, "it does not log messages", traces),
)
