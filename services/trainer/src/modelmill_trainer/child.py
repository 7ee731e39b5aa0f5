"""The work process of a training job; started by `ActiveJob.run_child`, never by hand."""

from collections.abc import Mapping
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main
from modelmill_service_kit.large_imports import uncollected


def train(port: ChildPort) -> Mapping[str, Any]:
    """Train in this process, or in several that this one starts and speaks for."""
    # Who only speaks for others needs no tensor library.
    if port.request.get("distribution"):
        from modelmill_trainer.launching.run_ranks import run_ranks

        return run_ranks(port)
    with uncollected():
        from modelmill_trainer.training.fine_tune import fine_tune

    return fine_tune(port)


def main() -> None:
    """Train as the parent asks, and answer it."""
    run_child_main(train)


if __name__ == "__main__":
    main()
