"""Two datasets that differ, as the faked data-prep tells of them."""

import json
from collections.abc import Sequence

from modelmill.data_prep.v1 import data_prep_service_pb2 as pb

from tests.browser.live_gateway import LiveGateway


def datasets_that_differ(gateway: LiveGateway, texts: Sequence[str]) -> tuple[str, str]:
    """Two datasets, of which the first alone has rows of these texts; their ids."""
    first, second = (gateway.make_dataset({"train": 70, "test": 10}) for _ in range(2))
    data_prep = gateway.house.data_prep
    data_prep.comparison = pb.CompareDatasetsResponse(
        rows_common=50,
        rows_moved=2,
        counts=[pb.ComparedCount(name="train", first=70, second=70)],
        unshared=[pb.ComparedCount(name="changed", first=30, second=0)],
        removed=[pb.ComparedCount(name="dropped duplicates.exact", first=3, second=0)],
        labels=[
            pb.ComparedCount(name=name, first=40, second=10) for name in ("plant", *texts[-3:])
        ],
    )
    spec = {"filter": {"preset": "standard"}, "name": texts[-1]}
    data_prep.compared_specs = {first: json.dumps(spec), second: "{}"}
    data_prep.unshared[first] = [
        pb.UnsharedRow(
            number=number,
            because="changed",
            row_json=_row(text),
            other_row_json=_row(f"other {text}"),
        )
        for number, text in enumerate(texts, start=1)
    ]
    return first, second


def _row(text: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}], "row": 1})
