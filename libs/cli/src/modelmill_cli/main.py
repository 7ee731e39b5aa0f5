"""`mill`'s entry: ready for a Ctrl-C before anything is loaded."""

import signal
import sys


def run() -> None:
    """Run `mill` and end with its status."""
    # While the libraries load there is nothing to undo: a Ctrl-C then ends mill without a word,
    # instead of with a traceback from wherever the import was.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from modelmill_cli.app import INTERRUPTED, run_app

    try:
        status = run_app()
    except KeyboardInterrupt:  # one more, while the first was being answered
        status = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the interpreter may end in peace
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)


if __name__ == "__main__":
    run()
