"""Statements on disk: one DSSE envelope a line, as in-toto bundles them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, SSlibKey

from modelmill_cli.provenance.errors import ProvenanceError, Unverified
from modelmill_cli.state_folder import write_public

BUNDLE = "provenance.intoto.jsonl"
"""Name of the file in a folder whose contents it is about."""
PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
MOST_BYTES = 32 * 2**20
MOST_ENVELOPES = 64
MALFORMED = (
    *(AttributeError, FormatError, KeyError, RecursionError, TypeError, ValueError),
    UnicodeError,
)

Statement = Mapping[str, Any]


def write_signed(statements: Sequence[Statement], signer: CryptoSigner, folder: Path) -> None:
    """Sign statements into the bundle of a folder; the same ones give the same bytes."""
    lines = []
    for statement in statements:
        payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
        envelope = Envelope(payload, PAYLOAD, {})
        envelope.sign(signer)
        lines.append(json.dumps(envelope.to_dict(), separators=(",", ":")))
    write_public(folder / BUNDLE, "".join(f"{line}\n" for line in lines).encode())


def read_signed(file: Path, key: SSlibKey) -> list[Statement]:
    """The statements of a bundle that `key` signed; those of others are left out.

    Raises:
        ProvenanceError: It is no bundle, holds none of this key, or one was altered.
    """
    envelopes = list(_envelopes(file))
    own = [each for each in envelopes if key.keyid in each.signatures]
    if not own:
        others = sorted({keyid[:16] for each in envelopes for keyid in each.signatures})
        raise _refused(
            "key",
            file,
            f"is signed by {', '.join(others) or 'nobody'}, not by the key {key.keyid[:16]}",
            "Get the public key of whoever made this, from them and not from where it lies",
        )
    for envelope in own:
        try:
            envelope.verify([key], 1)
        except UnverifiedSignatureError:
            raise _refused(
                "statement",
                file,
                f"was altered after the key {key.keyid[:16]} signed it",
                "Fetch all of it again, from whoever made it",
            ) from None
    return [_statement(envelope, file) for envelope in own]


def _envelopes(file: Path) -> Iterator[Envelope]:
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    lines = content.splitlines() if len(content) <= MOST_BYTES else []
    if not 0 < len(lines) <= MOST_ENVELOPES:
        raise _refused(
            "statement",
            file,
            f"is empty, over {MOST_BYTES >> 20} MiB or has over {MOST_ENVELOPES} statements",
            "Fetch it again, from whoever made it",
        )
    for line in lines:
        try:
            yield Envelope.from_dict(json.loads(line))
        except MALFORMED:
            raise _unreadable(file) from None


def _statement(envelope: Envelope, file: Path) -> Statement:
    """What is signed; that it is a statement of provenance is checked behind the signature."""
    try:
        found = json.loads(envelope.payload)
        kind = (envelope.payload_type, found["_type"], found["predicateType"])
    except MALFORMED:
        raise _unreadable(file) from None
    if kind != (PAYLOAD, STATEMENT, PREDICATE):
        raise _refused(
            "statement",
            file,
            f"holds something signed that is no provenance ({', '.join(map(str, kind))})",
            "Fetch the provenance of this, from whoever made it",
        )
    statement: Statement = found
    return statement


def _unreadable(file: Path) -> ProvenanceError:
    return _refused(
        "statement",
        file,
        "holds no signed statements, one envelope a line",
        "Fetch it again, from whoever made it",
    )


def _refused(check: str, file: Path, problem: str, remedy: str) -> ProvenanceError:
    return ProvenanceError(Unverified(check, str(file), problem, remedy))
