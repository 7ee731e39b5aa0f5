"""Child process of a training job, started by `ActiveJob.run_child`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelmill_jobs.child import ChildPort, run_child_main
from modelmill_service_kit.large_imports import large_import, leave_out_bitsandbytes


def train(port: ChildPort) -> Mapping[str, Any]:
    """Train in this process, or launch ranks and relay their reports."""
    # A relay needs no torch, which takes seconds and hundreds of megabytes to import.
    if port.request.get("distribution"):
        from modelmill_trainer.launching.run_ranks import run_ranks

        return run_ranks(port)
    in_four_bits = port.request["hyper_parameters"]["method"] == "qlora"
    if not in_four_bits:
        leave_out_bitsandbytes(Path(port.request["base_folder"]))
    with large_import("scipy", *(() if in_four_bits else ("bitsandbytes",))):
        from modelmill_trainer.training.fine_tune import fine_tune

    return fine_tune(port)


def main() -> None:
    """Run the parent's request and send the result."""
    run_child_main(train)


if __name__ == "__main__":
    main()
