"""Child process of an evaluation, started by `ActiveJob.run_child`."""

import resource

from modelmill_jobs.child import run_child_main

MEMORY_BYTES = 8 << 30
"""Address-space limit: an expanding template of a task ends only this process."""


def main() -> None:
    """Run the parent's request and send the result."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Imported after the limit is set, so that it covers the libraries too.
    from modelmill_trainer.evaluating.run import evaluate

    run_child_main(evaluate)


if __name__ == "__main__":
    main()
