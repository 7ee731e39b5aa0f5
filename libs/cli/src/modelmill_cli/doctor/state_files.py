"""Checks of the state folder: who may read secrets, keys that fit, what an instance left."""

import base64
import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from modelmill_service_kit.bus_access import SEED_SUFFIX
from modelmill_service_kit.checks import Check, FindingSeverity, Symptom
from modelmill_service_kit.endings import descendants
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.doctor.examined import Examined
from modelmill_cli.state_folder import StateFolder
from modelmill_cli.state_layout import LAYOUT

FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
CLOCK_TOLERANCE = timedelta(minutes=5)
LEAST_WEBHOOK_KEY = 16
"""Characters; what is shorter can be guessed."""


def secret_files(state: StateFolder) -> Iterator[Path]:
    """Files that their owner alone may read; those that there are."""
    patterns = (
        *((state.keys, "*.pem"), (state.keys, "*.key")),
        *((state.bus_identities, f"*{SEED_SUFFIX}"), (state.certificates, "*-key.pem")),
        *((state.runtime_file.parent, "*.json"), (state.runtime_file.parent, "*-secret")),
        *((state.runtime_file.parent, "*-token"),),
    )
    for folder, pattern in patterns:
        yield from sorted(file for file in folder.glob(pattern) if file.is_file())


def folder_unusable(it: Examined) -> Iterator[Symptom]:
    """Whether the state folder is a folder that can be written."""
    path = it.state.path
    if path.exists() and not path.is_dir():
        yield Symptom(f"{path} is not a folder", "Move it away or give --state another folder")
    elif path.is_dir() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Symptom(f"{path} cannot be written", "Make it yours or give --state another folder")


def folder_open(it: Examined) -> Iterator[Symptom]:
    """Whether others may put files into the state folder."""
    with suppress(OSError):
        if it.state.path.is_dir() and it.state.path.stat().st_mode & WRITTEN_BY_OTHERS:
            yield Symptom(
                f"other users may write in {it.state.path}, and replace keys there",
                f"Run `chmod go-w {it.state.path}`",
            )


def other_layout(it: Examined) -> Iterator[Symptom]:
    """A state folder that `mill up` of this version leaves alone."""
    try:
        problem = it.state.layout().problem(it.state.path, range(LAYOUT, LAYOUT + 1))
    except PreconditionError as error:
        damage, _, remedy = str(error).partition(". ")
        yield Symptom(damage, remedy)
    except OSError:
        return  # that it cannot be read is a finding of another check
    else:
        if problem is not None:
            yield Symptom(*problem)


def secret_modes(it: Examined) -> Iterator[Symptom]:
    """Secrets that others may read."""
    for file in secret_files(it.state):
        with suppress(OSError):
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & FOR_OTHERS:
                yield Symptom(
                    f"{file} is a secret, and its mode {mode:03o} lets others read or write it",
                    f"Run `chmod 600 {file}`, and make the secret anew if others were here",
                )


def secret_owners(it: Examined) -> Iterator[Symptom]:
    """Secrets of another user than the folder's."""
    for file in secret_files(it.state):
        with suppress(OSError):
            uid = file.stat().st_uid
            if it.owner is not None and uid != it.owner:
                yield Symptom(
                    f"{file} is of user {uid}, and its folder of user {it.owner}",
                    f"Run `chown {it.owner} {file}` as root",
                )


def signing_key(it: Examined) -> Iterator[Symptom]:
    """The key that tokens are signed with."""
    file = it.state.keys / "signing-key.pem"
    if file.exists() and _public(file) is None:
        yield Symptom(
            f"{file} does not hold an unencrypted Ed25519 key in PEM",
            "Bring it back from a backup, or delete it: the next `mill up` makes one, and tokens"
            " of the old one end",
        )


def signing_key_set(it: Examined) -> Iterator[Symptom]:
    """The public keys by which the gateway knows tokens."""
    file = it.state.keys / "jwks.json"
    public = _public(it.state.keys / "signing-key.pem")
    if public is None or not file.exists():
        return
    try:
        known = {str(key.get("x")) for key in json.loads(file.read_text())["keys"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = set()
    if public not in known:
        yield Symptom(
            f"{file} does not have the public half of the signing key, so that tokens are refused",
            "Start `mill up` anew, which writes it",
        )


def _public(key_file: Path) -> str | None:
    """The public half as a key set has it; None when there is no such key."""
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, TypeError, ValueError):
        return None
    if not isinstance(key, Ed25519PrivateKey):
        return None
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def webhook_key(it: Examined) -> Iterator[Symptom]:
    """The key that seals secrets of webhooks."""
    file = it.state.keys / "webhook.key"
    with suppress(OSError):
        if len(file.read_bytes().strip()) < LEAST_WEBHOOK_KEY:
            yield Symptom(
                f"{file} has fewer than {LEAST_WEBHOOK_KEY} characters",
                "Bring it back from a backup; with another key, webhooks need new secrets"
                " (`mill webhooks rotate`)",
            )


def bus_identity(it: Examined) -> Iterator[Symptom]:
    """Seeds by which services show the broker who they are."""
    from modelmill_bus.nkeys import Nkey

    for file in sorted(it.state.bus_identities.glob(f"*{SEED_SUFFIX}")):
        try:
            Nkey.from_file(file)
        except PreconditionError as error:
            yield Symptom(str(error), f"Delete {file} and start `mill up` anew, which makes one")


def instance_record(it: Examined) -> Iterator[Symptom]:
    """What `mill up` wrote of itself: whether it can be read, and is true."""
    file = it.state.runtime_file
    if not file.exists():
        return
    try:
        it.state.read_runtime()
    except PreconditionError:
        yield Symptom(
            f"{file} is of a `mill up` that was killed",
            "Start `mill up` again, which ends what it left",
        )
    except (OSError, ValueError, TypeError):
        yield Symptom(
            f"{file} cannot be read, or is of another release",
            "Stop what runs on this folder and start `mill up` with the installed release",
        )


def leftover_processes(it: Examined) -> Iterator[Symptom]:
    """Processes that work on the folder though nobody supervises them."""
    if it.running is not None or it.is_starting:
        return
    if pids := sorted(process.pid for process in descendants(it.state.mark)):
        yield Symptom(
            f"processes of a `mill up` that was killed still run: {', '.join(map(str, pids))}",
            "Start `mill up`, which ends them, or end them by hand",
        )


def clock_back(it: Examined) -> Iterator[Symptom]:
    """Files that were written later than now."""
    for file in (it.state.keys / "signing-key.pem", it.state.path / "lock", it.state.runtime_file):
        with suppress(OSError):
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            if written - it.now > CLOCK_TOLERANCE:
                yield Symptom(
                    f"{file} was written at {written:%Y-%m-%d %H:%M} UTC, and this machine says it"
                    f" is {it.now:%Y-%m-%d %H:%M}",
                    "Set the clock, and let NTP keep it: tokens and certificates go by it",
                )
                return


CHECKS = (
    Check(
        "state-folder", FindingSeverity.ERROR, "the state folder can be written", folder_unusable
    ),
    Check(
        "state-open",
        FindingSeverity.ERROR,
        "nobody else may write in the state folder",
        folder_open,
    ),
    Check("state-layout", FindingSeverity.ERROR, "it has this version's layout", other_layout),
    Check("secret-modes", FindingSeverity.ERROR, "secrets are their owner's alone", secret_modes),
    Check(
        "secret-owners", FindingSeverity.ERROR, "secrets are of the folder's owner", secret_owners
    ),
    Check("signing-key", FindingSeverity.ERROR, "the signing key can be used", signing_key),
    Check(
        "signing-key-set", FindingSeverity.ERROR, "`jwks.json` has its public half", signing_key_set
    ),
    Check("webhook-key", FindingSeverity.ERROR, "the key of webhooks is whole", webhook_key),
    Check("bus-identity", FindingSeverity.ERROR, "each bus identity is a seed", bus_identity),
    Check(
        "instance-record", FindingSeverity.WARNING, "`run/runtime.json` is true", instance_record
    ),
    Check("leftovers", FindingSeverity.WARNING, "nothing runs unsupervised", leftover_processes),
    Check("clock-back", FindingSeverity.ERROR, "the clock is not behind files", clock_back),
)
