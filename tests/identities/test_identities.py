"""Least privilege on a real broker: everybody tries everything."""

from pathlib import Path

from tests.identities.matrix import try_everything


async def test_the_broker_allows_each_identity_what_the_table_declares_and_nothing_else(
    tmp_path: Path,
):
    verdict = await try_everything(tmp_path)

    assert verdict.differences == ()
    assert verdict.cases > 3000
