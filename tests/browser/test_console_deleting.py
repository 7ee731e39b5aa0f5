"""Datasets and files are deleted in the console, after a question, unless a job needs them."""

from modelmill.data_prep.v1.data_prep_service_pb2 import UploadHeader
from playwright.sync_api import expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import complaints, confirm, open_place
from tests.browser.console_trainings import spec_of
from tests.browser.live_gateway import TENANT, LiveGateway
from tests.browser.watched_page import WatchedPage


def test_a_dataset_that_no_job_needs_is_deleted(watched: WatchedPage, gateway: LiveGateway):
    counts = {"valid": 1, "rows_kept": 9, "rows_made": 0, "train": 8, "rows_in": 12, "odd": 3}
    dataset_id = gateway.make_dataset(counts, name="to delete")
    page = open_place(watched, gateway, f"/datasets/{dataset_id}", gateway.token())
    names = page.get_by_role("region", name="Counts").get_by_role("rowheader")
    expect(names).to_have_text(["rows_in", "rows_made", "rows_kept", "train", "valid", "odd"])
    confirm(page, "Delete this dataset", "with its rows")

    expect(page.get_by_role("heading", name="Datasets", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name=dataset_id)).to_have_count(0)
    assert complaints(watched) == []


def test_a_dataset_that_a_job_needs_stays_and_the_job_is_named(
    watched: WatchedPage, gateway: LiveGateway
):
    dataset_id = gateway.make_dataset({"train": 8})
    job_id = gateway.submit_training(spec_of("kinds", dataset_id, 0.001))
    page = open_place(watched, gateway, f"/datasets/{dataset_id}", gateway.token())
    confirm(page, "Delete this dataset")

    expect(page.get_by_role("alert")).to_contain_text(job_id)


def test_a_file_is_deleted_from_the_list(watched: WatchedPage, gateway: LiveGateway):
    header = UploadHeader(tenant=TENANT, filename=f"{HOSTILE[0]}.csv", purpose="fine-tune")
    kept, gone = [gateway.house.data_prep.keep_file(header, b"a,b\n1,2\n") for _ in range(2)]
    page = open_place(watched, gateway, "/datasets", gateway.token())
    files = page.get_by_role("region", name="Files", exact=True)
    row = files.get_by_role("row").filter(has_text=gone.file_id)
    expect(row).to_contain_text(HOSTILE[0])
    row.get_by_role("button", name="Delete file").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete file").click()

    expect(files.get_by_text(gone.file_id, exact=True)).to_have_count(0)
    expect(files.get_by_text(kept.file_id, exact=True)).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert complaints(watched) == []


def test_who_may_not_see_files_sees_datasets_alone(watched: WatchedPage, gateway: LiveGateway):
    page = open_place(watched, gateway, "/datasets", gateway.token(scope="datasets"))

    expect(page.get_by_role("heading", name="Datasets", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="Files", exact=True)).to_have_count(0)
    assert complaints(watched) == []
