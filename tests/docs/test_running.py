"""Every block of README and docs that is not marked runs, as a reader would type it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import RUN, Block, blocks_of, documents
from tests.docs.running import BlockFailedError, Reader, reading

pytestmark = [pytest.mark.tier("journeys"), pytest.mark.timeout(600)]

PAGES = {
    document: [it for it in blocks_of(document) if it.language in RUN and not it.reason]
    for document in documents()
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """One for all pages."""
    with reading(tmp_path_factory.mktemp("reader")) as running:
        yield running


@pytest.mark.parametrize(
    "document", [it for it, blocks in PAGES.items() if blocks], ids=lambda it: it.stem
)
def test_the_blocks_of_a_page_run(reader: Reader, document: Path):
    reader.run(PAGES[document])


def test_a_block_that_ends_badly_is_named(tmp_path: Path):
    blocks = [
        Block("docs/x.md", line, "sh", code, "") for line, code in ((3, "true\n"), (9, "false\n"))
    ]
    with pytest.raises(BlockFailedError, match=r"docs/x\.md:9 ended with 1"):
        Reader(tmp_path, "").run(blocks)
