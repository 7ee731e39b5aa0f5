"""Evaluations are accepted whole or refused with everything that is wrong."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from modelmill.jobs.v1.job_pb2 import (
    JobRequested,
)
from modelmill.registry.v1.model_events_pb2 import AliasState
from modelmill_bus.subjects import alias_state, job_requested
from modelmill_service_kit.errors import InvalidInputError, NotFoundError, PreconditionError
from modelmill_testkit.fake_inference import NEWER, VERSION
from trainer_support.evaluations import Learned, create, evaluating, size


async def test_every_error_is_reported_at_once(site: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        with pytest.raises(InvalidInputError) as refused:
            await create(
                site,
                model="nobody",
                dataset_id="ds-none",
                split="all",
                measures=["vibes", "accuracy"],
                slices=[{"by": "length", "edges": [5, 5]}, {"by": "topic", "edges": [1]}],
                protections=[{"measure": "bleu", "slice_by": "x", "largest_loss": 1}],
                max_rows=10**6,
                tasks=[{"config": "task: a\noutput_type: rolling\nprocess: 1"}],
            )

    said = refused.value.errors
    for wrong in (
        "task 1: output_type 'rolling'",
        "task 1: process is not supported",
        "max_rows must be at most 100000",
        "split must be one of train, valid, test",
        "measure 'vibes' is not known",
        "edges of slice 'length' must rise",
        "slice 'topic' has edges",
        "protection 1: bleu is not among the measures",
        "protection 1: largest_loss needs compare_to",
        "protection 1: no slice by 'x'",
        "protection 1: slice_by and slice_value go together",
        "nobody",
        "ds-none",
    ):
        assert any(wrong in error for error in said), (wrong, said)


async def test_unknown_inputs_give_not_found(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        config = "task: a\noutput_type: loglikelihood\ndataset_kwargs: {data_files: a.jsonl}\n"
        config += "doc_to_text: q\ndoc_to_target: a\n"
        task = {"config": config, "data_file_ids": ["file-none"]}
        with pytest.raises(NotFoundError, match=r"nobody.*file-none"):
            await create(site, model="nobody", tasks=[task])
        with pytest.raises(InvalidInputError, match=r"no given file is called 'a\.jsonl'"):
            await create(site, tasks=[{"config": config}])
        with pytest.raises(InvalidInputError, match="Give a dataset_id, tasks or both"):
            await create(site, dataset_id="")
        cascade = AliasState(tenant="acme", name="pair", version_id=NEWER)
        cascade.options.update({"kind": "cascade", "small": VERSION})
        await site.bus.publish(alias_state("acme", "pair"), cascade)
        with pytest.raises(InvalidInputError, match="cascade of two versions"):
            await create(site, model="pair")


async def test_without_an_inference_service_a_job_is_refused_with_the_setting_to_set(
    trainer: Any,
) -> None:
    with pytest.raises(PreconditionError, match="Set TRAINER_INFERENCE_ADDRESS"):
        await create(trainer)


async def test_an_evaluation_is_sized_as_it_would_be_queued_and_none_is(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        sized, fewer = await size(site), await size(site, max_rows=2)
        requests = [each async for each in site.bus.replay(["job.requested.evaluate.>"])]
        assert requests == []
        created = await create(site)
        stored = await site.bus.last(
            job_requested("evaluate", "acme", created.job_id), JobRequested
        )

    spec = MessageToDict(sized.spec, preserving_proto_field_name=True)
    assert spec == MessageToDict(stored.body.spec)
    assert (sized.dataset_rows, fewer.dataset_rows) == (3, 2)
    assert sized.needs == stored.body.needs
    assert sized.worker.memory_bytes > 0


async def test_what_an_evaluation_is_refused_for_it_is_not_sized_for_either(
    site: Any, toy_rows: Any
) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        for spec in (
            {"model": "nobody"},
            {"measures": ["vibes"], "split": "all"},
            {"dataset_id": ""},
        ):
            with pytest.raises((InvalidInputError, NotFoundError)) as ordered:
                await create(site, **spec)
            with pytest.raises(type(ordered.value)) as sized:
                await size(site, **spec)
            assert sized.value.message == ordered.value.message


async def test_defaults_are_filled_in(site: Any, toy_rows: Any) -> None:
    async with evaluating(site, Learned(), role="serve"):
        await site.add_dataset(test=toy_rows(3))
        created = await create(site, slices=[{"by": "length"}])
        stored = await site.bus.last(
            job_requested("evaluate", "acme", created.job_id), JobRequested
        )

    spec = dict(stored.body.spec)
    assert (spec["split"], spec["max_rows"], spec["resamples"]) == ("test", 1000, 1000)
    assert (spec["max_new_tokens"], spec["seed"]) == (256, "1")
    assert [list(each["edges"]) for each in spec["slices"]] == [[200, 1000]]
    assert stored.body.needs.memory_bytes == 512 << 20
