"""Whether a job fits a worker, and what is said of one that fits none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_jobs.sizes import as_resources, fits, left_of, misfit, size_of
from modelmill_service_kit.machine_size import MachineSize

GB = 10**9
SIZES = st.builds(
    MachineSize,
    cpus=st.integers(0, 8).map(float),
    memory_bytes=st.integers(0, 64).map(lambda gigabytes: gigabytes * GB),
    gpus=st.integers(0, 4),
    gpu_memory_bytes=st.integers(0, 80).map(lambda gigabytes: gigabytes * GB),
)


@given(SIZES, st.lists(SIZES, max_size=5))
def test_what_is_taken_one_after_the_other_is_never_more_than_there_is(whole, wanted):
    taken: list[MachineSize] = []
    for needs in wanted:
        if fits(needs, left_of(whole, taken)):
            taken.append(needs)

    assert sum(each.memory_bytes for each in taken) <= whole.memory_bytes
    assert sum(each.cpus for each in taken) <= whole.cpus
    assert sum(each.gpus for each in taken) <= whole.gpus


@given(SIZES, st.lists(SIZES, max_size=4))
def test_a_job_is_said_to_fit_none_exactly_when_workers_were_seen_and_none_has_as_much(needs, seen):
    fits_one = any(fits(needs, has) for has in seen)

    assert bool(misfit(needs, seen)) == (bool(seen) and not fits_one)


@given(SIZES)
def test_a_size_survives_its_message(size):
    assert size_of(as_resources(size)) == size


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (MachineSize(cpus=9), "needs 9 cores; the largest worker that was seen has 8 cores"),
        (
            MachineSize(memory_bytes=41 * GB),
            "needs 41.0 GB; the largest worker that was seen has 40.0",
        ),
        (MachineSize(gpus=2), "needs 2 GPUs; the largest worker that was seen has 1 GPUs"),
        (MachineSize(gpus=1, gpu_memory_bytes=90 * GB), "needs 90.0 GB of memory on a GPU; "),
        (MachineSize(cpus=8, memory_bytes=40 * GB), "needs more than any one worker"),
    ],
)
def test_what_is_missing_is_said_in_words(needs, words):
    seen = [MachineSize(8, 10 * GB), MachineSize(1, 40 * GB, 1, 80 * GB)]

    assert misfit(needs, seen).startswith(words)
