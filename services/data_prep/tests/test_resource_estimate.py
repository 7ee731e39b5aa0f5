"""What a job is admitted by: its processes and what each loads, and nothing of its file."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import JobRequested, Resources
from modelmill_bus.subjects import job_requested
from modelmill_data_prep.domain.dataset_plan import plan_dataset
from modelmill_data_prep.domain.resource_estimate import (
    PIPELINE_BYTES,
    PROCESS_BYTES,
    TOKENIZER_BYTES,
    dataset_needs,
)
from modelmill_documents.document_blocks import ParseLimits

SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tokens": {"tokenize": {"model": "base"}},
    "names": {"entities": {"actions": {"person": "mask"}, "spacy_models": {"en": "a", "zh": "b"}}},
    "all else": {
        "clean": {"transforms": ["markup", "repeats", "simplified"]},
        "filter": {"preset": "standard"},
        "duplicates": {"near_threshold": 0.8},
        "augment": {"steps": [{"method": "synonyms", "share": 1}]},
        "curriculum": {"order": "staged"},
    },
}


def memory(name: str, processes: int) -> int:
    plan = plan_dataset({"mapping": {"layout": "text"}, **SPECS[name]})
    return dataset_needs(plan, processes).memory_bytes


@given(st.sampled_from(list(SPECS)), st.integers(1, 500))
def test_each_process_more_needs_the_same_more(name: str, processes: int) -> None:
    first = memory(name, 2) - memory(name, 1)

    assert memory(name, processes + 1) - memory(name, processes) == first >= PROCESS_BYTES
    # The job's own process holds what decides, and nothing that rows pass through.
    assert memory(name, processes) == PROCESS_BYTES + processes * first


def test_without_processes_beside_it_the_jobs_own_loads_what_each_would() -> None:
    assert memory("plain", 0) == memory("all else", 0) == PROCESS_BYTES
    assert memory("tokens", 0) == PROCESS_BYTES + TOKENIZER_BYTES
    assert memory("names", 0) == PROCESS_BYTES + 2 * PIPELINE_BYTES


async def needs_of(service: Any, content: bytes, name: str = "rows.jsonl") -> Resources:
    """Of a job for a file of this content."""
    file = await service.upload(content, filename=name)
    job = await service.create(file.file_id, mapping={"layout": "text"})
    subject = job_requested("dataset", "acme", job.job_id)
    needs: Resources = (await service.bus.last(subject, JobRequested)).body.needs
    return needs


@pytest.mark.parametrize("rows", [20_000])
async def test_what_a_job_needs_does_not_grow_with_its_file(data_prep: Any, rows: int) -> None:
    row = b'{"text": "a row among many others"}\n'

    assert await needs_of(data_prep, row) == await needs_of(data_prep, row * rows)


async def test_a_job_that_reads_documents_needs_what_their_reader_may_take(data_prep: Any) -> None:
    rows = await needs_of(data_prep, b'{"text": "a row"}\n')
    document = await needs_of(data_prep, b"# Title\n\nA paragraph.\n", "page.md")

    assert document.memory_bytes - rows.memory_bytes == ParseLimits().memory_bytes
