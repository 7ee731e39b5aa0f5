"""Mappings proposed by the names of columns, and previews where nobody has said one."""

import json

import grpc
import pytest
from modelmill.data_prep.v1 import data_prep_service_pb2 as pb
from modelmill_data_prep.domain.mapping.propose_mapping import propose_mapping
from modelmill_service_kit.errors import InvalidInputError


@pytest.mark.parametrize(
    ("columns", "proposal"),
    [
        (["id", "messages"], {"layout": "openai_chat"}),
        (["conversations"], {"layout": "sharegpt"}),
        (["instruction", "input", "output"], {"layout": "alpaca"}),
        (["chosen", "rejected", "prompt"], {"layout": "preference"}),
        (["text"], {"layout": "text"}),
        (["id", "word", "Kind"], {"user_template": "{word}", "answer_template": "{Kind}"}),
        (
            ["label", "title", "best_answer"],
            {
                "user_template": "label: {label}\ntitle: {title}",
                "answer_template": "{best_answer}",
            },
        ),
        (["answer", "q"], {"user_template": "{q}", "answer_template": "{answer}"}),
        (["a", "b"], {"user_template": "{a}", "answer_template": "{b}"}),
    ],
)
def test_a_layout_or_the_column_that_is_called_so_is_proposed(columns, proposal):
    assert propose_mapping(columns) == proposal


@pytest.mark.parametrize("columns", [[], ["id", "b"], ["a{}", "b"]])
def test_too_few_columns_are_refused_with_the_reason(columns):
    with pytest.raises(InvalidInputError, match="fewer than two columns"):
        propose_mapping(columns)


@pytest.mark.parametrize("content", [b'{"q": "Hi", "answer": "Yo"}\n', b"q,answer\nHi,Yo\n"])
async def test_a_preview_without_a_mapping_has_the_one_that_is_proposed(data_prep, content):
    filename = "rows.jsonl" if content.startswith(b"{") else "rows.csv"
    file = await data_prep.upload(content, filename=filename)
    request = pb.PreviewDatasetRequest(tenant="acme", spec=pb.DatasetSpec(file_id=file.file_id))

    shown = await data_prep.stub.PreviewDataset(request, timeout=60)

    assert (shown.mapping.user_template, shown.mapping.answer_template) == ("{q}", "{answer}")
    (row,) = shown.rows
    assert [turn["content"] for turn in json.loads(row.row_json)["messages"]] == ["Hi", "Yo"]


async def test_rows_that_cannot_be_read_are_named_before_a_mapping_is_missed(data_prep):
    file = await data_prep.upload(
        "q,answer\n退款,好\n发票,好\n".encode("gb18030"), filename="a.csv"
    )
    spec = pb.DatasetSpec(file_id=file.file_id, reading=pb.ReadingSpec(encoding="utf-8"))
    request = pb.PreviewDatasetRequest(tenant="acme", spec=spec)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await data_prep.stub.PreviewDataset(request, timeout=60)

    assert "none of the first 2 rows can be read. Line 2: not UTF-8" in refused.value.details()
