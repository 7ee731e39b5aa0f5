"""A restore drill on real processes: what was backed up under a running job goes on elsewhere."""

from pathlib import Path

import pytest

from tests.e2e.restore_drill import drill

pytestmark = [pytest.mark.timeout(240), pytest.mark.tier("journeys")]


async def test_what_was_backed_up_under_a_running_job_answers_and_ends_elsewhere(
    tmp_path: Path,
) -> None:
    done = await drill(tmp_path)

    assert done.under_way.statuses == ("running", "running")
    second = done.under_way.second
    assert 0 < done.under_way.artifact_bytes <= second["total_bytes"] - second["written_bytes"]
    assert done.restored["id"] == done.under_way.second["id"]
    assert done.answer == done.under_way.answer
    assert done.job["status"] == "succeeded", done.job
    assert done.resumed, "\n".join(done.log[-40:])
    assert done.compared_all, done.compared_parts
    assert done.different_files == []
    assert done.different_streams == []
