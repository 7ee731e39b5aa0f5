"""The work process of a training job; started by `ActiveJob.run_child`, never by hand."""

from jobs.child import run_child_main

from trainer.training.fine_tune import fine_tune


def main() -> None:
    """Train as the parent asks, and answer it."""
    run_child_main(fine_tune)


if __name__ == "__main__":
    main()
