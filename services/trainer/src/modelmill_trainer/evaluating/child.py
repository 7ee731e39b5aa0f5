"""The work process of an evaluation; started by `ActiveJob.run_child`, never by hand."""

import resource

from modelmill_jobs.child import run_child_main

MEMORY_BYTES = 8 << 30
"""Of address space: a task's template that makes much of little ends this process alone."""


def main() -> None:
    """Evaluate as the parent asks, and answer it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Only now: its libraries shall live within that too.
    from modelmill_trainer.evaluating.run import evaluate

    run_child_main(evaluate)


if __name__ == "__main__":
    main()
