"""The streams' account, and folders of streams that were made before there was one.

Of the standard library alone: the broker's image runs it by itself, before it starts the broker.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

STREAMS_ACCOUNT = "STREAMS"
"""The broker's account that has the streams."""
FORMER_ACCOUNT = "$G"
"""The broker's default one, which had them before."""


class UntakenStreamsError(Exception):
    """Streams of the former account cannot be taken over; the message says what to do."""


def take_over_streams(store: Path) -> bool:
    """Give the streams' account what the former one has, while no broker runs on the folder.

    It is one rename, so that a crash leaves all of it here or there. Says whether it did.

    Args:
        store: `store_dir` of the broker's configuration.

    Raises:
        UntakenStreamsError: both accounts have streams, or a cluster knows who has them.
        OSError: the folder cannot be changed.
    """
    folder = store / "jetstream"
    former, own = folder / FORMER_ACCOUNT, folder / STREAMS_ACCOUNT
    if not has_former_streams(store):
        return False
    if (folder / "$SYS" / "_js_").exists():
        raise UntakenStreamsError(
            f"{former} has streams of a cluster, which no broker can give to another account. Start"
            " the version that made them, save them with `nats account backup`, and restore them"
            " into empty volumes"
        )
    for empty in (own / "streams", own):
        if empty.is_dir():
            empty.rmdir()
    former.rename(own)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def has_former_streams(store: Path) -> bool:
    """Whether the former account has the streams.

    Raises:
        UntakenStreamsError: both accounts have some.
    """
    folder = store / "jetstream"
    former, own = folder / FORMER_ACCOUNT, folder / STREAMS_ACCOUNT
    if _has_streams(former) and _has_streams(own):
        raise UntakenStreamsError(
            f"{folder} has streams of two accounts: an older version ran on it after a newer one."
            f" Move {former} away to go on with {own}, or the other way round"
        )
    return _has_streams(former)


def _has_streams(account: Path) -> bool:
    streams = account / "streams"
    return streams.is_dir() and any(streams.iterdir())


def main(arguments: Sequence[str]) -> int:
    """Take streams over in the folder named first, and become the command behind it."""
    store, *command = arguments
    try:
        if take_over_streams(Path(store)):
            print(f"streams in {store} were given to account {STREAMS_ACCOUNT}", file=sys.stderr)
    except (UntakenStreamsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    sys.stderr.flush()
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
