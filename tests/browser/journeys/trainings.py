"""Journeys of who trains: from a file to a dataset, to trainings and what came of them."""

from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_FAILED,
    JOB_STATUS_PAUSED,
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobError,
    JobResult,
)
from playwright.sync_api import Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_charts import chart, figures_shown
from tests.browser.console_evaluations import LONG, evaluate, evaluated_rows
from tests.browser.console_place import ask
from tests.browser.console_trainings import (
    DIGEST,
    file_in_parts,
    points_stored,
    running_training,
    say_steps,
    spec_of,
    trained,
)
from tests.browser.console_visitor import ConsoleVisitor

COUNTS = {"rows_in": 900, "rows_kept": 880, "train": 704, "valid": 88, "test": 88}
ROWS = 300
"""Of an evaluation: more than a page of them."""


def upload_a_dataset(visitor: ConsoleVisitor) -> None:
    """A file in parts, its rows by the proposed mapping, a dataset with its report, a training."""
    page, say, gateway = visitor.open("/datasets"), visitor.say, visitor.gateway
    gateway.house.data_prep.busy = False
    visitor.button("data.new").click()
    rows = file_in_parts(visitor.folder)
    visitor.field("new_data.choose").set_input_files(rows)
    expect(visitor.text("new_data.done", name=rows.name)).to_be_visible()
    expect(visitor.text("new_data.columns", columns="{word}, {kind}")).to_be_visible()
    expect(visitor.field("new_data.user_template")).to_have_value("{word}")
    expect(visitor.row("3")).to_contain_text(say("new_data.left_out", reason="read.not_json"))
    visitor.button("new_data.create").click()
    dataset = heading_of(page, "ds-")
    spec = gateway.house.data_prep.specs[-1]
    assert (spec.mapping.user_template, spec.mapping.answer_template) == ("{word}", "{kind}")
    assert stored(visitor, spec.file_id) == rows.stat().st_size

    job_id = ask(gateway, gateway.token(), "GET", f"/v1/datasets/{dataset}")["job_id"]
    gateway.say_ready(dataset, job_id, COUNTS)
    page.reload()
    expect(visitor.row("rows_kept")).to_contain_text("880")
    with page.expect_download() as download:
        visitor.button("data.report").click()
    assert download.value.suggested_filename == f"{dataset}.html"
    visitor.button("data.train").click()

    expect(visitor.heading("train.title")).to_be_visible()
    expect(visitor.text("train.rows", train=704, valid=88, test=88)).to_be_visible()


def order_a_training(visitor: ConsoleVisitor) -> None:
    """A form in which an impossible value is told beside its field, and the job that it orders."""
    gateway, say = visitor.gateway, visitor.say
    dataset = gateway.make_dataset(COUNTS)
    page = visitor.open(f"/jobs/new?model=mv-base&dataset={dataset}")
    visitor.field("train.field.suffix").fill("it's kinds")
    visitor.choice("train.field.objective").select_option("dpo")
    rank = page.get_by_label("lora_rank", exact=True)
    rank.fill("0")
    expect(visitor.text("field.above", least=0)).to_be_visible()
    visitor.button("train.order").click()
    expect(rank).to_be_focused()
    rank.fill("8")
    assert '"lora_rank": 8' in page.get_by_label("curl", exact=True).inner_text()

    visitor.button("train.order").click()

    job_id = heading_of(page, "ftjob-")
    spec = gateway.house.trainer.specs[-1]
    assert (spec.name, spec.dataset_id, spec.hyper_parameters.lora_rank) == (
        "it's kinds",
        dataset,
        8,
    )
    expect(page.get_by_text(say("kind.train"), exact=True)).to_be_visible()
    assert page.url.endswith(f"#/jobs/{job_id}")


def watch_a_training(visitor: ConsoleVisitor) -> None:
    """From home to a job whose chart grows until it has made a version."""
    gateway, say = visitor.gateway, visitor.say
    training = running_training(gateway)
    page = visitor.open("/")
    card = page.get_by_role("article", name=training)
    expect(card).to_contain_text("10/40 step")
    card.get_by_role("link").click()
    loss = chart(page, say("chart.loss"))
    expect(loss).to_have_attribute("data-points", "10")
    say_steps(gateway, training, range(11, 13))
    expect(loss).to_have_attribute("data-points", "12")
    assert figures_shown(page, say("job.csv")) == points_stored(gateway, training)

    made = JobResult(digest=DIGEST, version_id="mv-tuned")
    gateway.say_state(training, JOB_STATUS_SUCCEEDED, result=made)
    expect(page.locator(".status.succeeded")).to_have_text(say("status.succeeded"))
    expect(page.get_by_role("progressbar")).to_have_count(0)
    page.get_by_role("link", name="mv-tuned").first.click()

    expect(page.get_by_role("heading", name="mv-tuned")).to_be_visible()


def steer_a_job(visitor: ConsoleVisitor) -> None:
    """A running job is paused, goes on, and is cancelled for good only after a question."""
    gateway, say = visitor.gateway, visitor.say
    job_id = gateway.order_training()
    gateway.say_state(job_id, JOB_STATUS_RUNNING)
    page = visitor.open(f"/jobs/{job_id}")
    visitor.button("job.pause").click()
    wanted = f"{say('status.running')} → {say('status.paused')}"
    expect(page.locator(".status")).to_have_text(wanted)
    gateway.say_state(job_id, JOB_STATUS_PAUSED)
    expect(page.locator(".status.paused")).to_be_visible()
    visitor.button("job.resume").click()
    expect(page.locator(".status.queued")).to_have_text(say("status.queued"))

    visitor.confirm("job.cancel")

    expect(page.locator(".status.cancelled")).to_have_text(say("status.cancelled"))
    expect(visitor.button("job.cancel")).to_have_count(0)


def run_a_failed_training_again(visitor: ConsoleVisitor) -> None:
    """Home tells why a training failed and what to do; the job is ordered again as it was."""
    gateway, say = visitor.gateway, visitor.say
    spec = spec_of(visitor.own("again"), gateway.make_dataset(COUNTS), 0.002)
    failed = gateway.submit_training(spec)
    error = JobError(code="x", message=HOSTILE[0], remedy=HOSTILE[1], log_tail=HOSTILE[2])
    gateway.say_state(failed, JOB_STATUS_FAILED, error=error)
    page = visitor.open("/")
    card = page.get_by_role("article", name=failed)
    expect(card).to_contain_text(f"{say('job.remedy')} {HOSTILE[1]}")
    card.get_by_text(say("job.log_tail")).click()
    expect(card.get_by_text(HOSTILE[2], exact=True)).to_be_visible()
    card.get_by_role("link").click()
    visitor.button("job.again").click()
    expect(visitor.heading("train.again")).to_be_visible()
    expect(page.get_by_label("learning_rate", exact=True)).to_have_value("0.002")
    visitor.button("train.order").click()

    assert heading_of(page, "ftjob-") != failed
    assert gateway.house.trainer.specs[-1].hyper_parameters == spec.hyper_parameters


def compare_trainings(visitor: ConsoleVisitor) -> None:
    """Two trainings of the list stand side by side, and the link shows the same."""
    gateway, say = visitor.gateway, visitor.say
    dataset = gateway.make_dataset(COUNTS)
    runs = [trained(gateway, spec_of("words", dataset, rate), 30) for rate in (0.001, 0.002)]
    page = visitor.open("/jobs")
    page.get_by_label(say("compare.choose_run", id=runs[0]), exact=True).check()
    expect(visitor.text("compare.another")).to_be_visible()
    page.get_by_label(say("compare.choose_run", id=runs[1]), exact=True).check()
    visitor.button("compare.chosen", n=2).click()
    expect(visitor.heading("compare.title")).to_be_visible()
    page.reload()

    settings = visitor.region("compare.settings").get_by_role("row")
    rate = settings.filter(has_text="hyper_parameters.learning_rate")
    expect(rate).to_contain_text("0.002")
    expect(rate).to_contain_text("≠")
    interval = say("compare.interval", low=0.6, high=0.8)
    expect(visitor.region("compare.scores")).to_contain_text(interval)
    expect(chart(page, say("chart.loss"))).to_be_visible()
    assert page.url.endswith(f"#/jobs/compare?ids={runs[0]}%2C{runs[1]}")
    visitor.button("compare.drop_run", id=runs[0]).click()
    expect(visitor.text("compare.choose")).to_be_visible()


def read_an_evaluation(visitor: ConsoleVisitor) -> None:
    """Figures with their protections, and rows by filters that stand in the address."""
    say, evaluation = visitor.say, evaluate(visitor.gateway, evaluated_rows(ROWS))
    page = visitor.open(f"/jobs/{evaluation}")
    accuracy = visitor.row("accuracy", visitor.region("eval.results"))
    expect(accuracy).to_contain_text(say("eval.clear"))
    expect(visitor.region("eval.protections")).to_contain_text(say("eval.holds"))
    rows = visitor.region("eval.rows").locator("tbody tr")
    first = rows.first.get_by_role("rowheader")
    visitor.field("eval.only_wrong").check()
    expect(first).to_have_text("3")
    visitor.field("eval.group").select_option(label=f"length = {LONG}")
    expect(first).to_have_text("12")
    visitor.field("eval.only_differs").check()
    visitor.field("eval.text").fill("LEAF 96")
    visitor.button("eval.find").click()
    expect(rows).to_have_count(1)

    page.reload()
    expect(first).to_have_text("96")
    expect(rows).to_have_count(1)
    visitor.field("eval.text").fill("no such leaf")
    visitor.button("eval.find").click()
    expect(visitor.text("eval.no_match")).to_be_visible()
    visitor.button("eval.all_rows").click()
    expect(rows).to_have_count(50)
    visitor.button("list.more").click()
    expect(rows).to_have_count(100)


def heading_of(page: Page, prefix: str) -> str:
    """The id that the page of an object begins with, once it is there."""
    heading = page.get_by_role("heading", name=prefix, level=1)
    expect(heading).to_be_visible()
    return heading.inner_text()


def stored(visitor: ConsoleVisitor, file_id: str) -> int:
    """How many bytes the API has of a file."""
    gateway = visitor.gateway
    return int(ask(gateway, gateway.token(), "GET", f"/v1/files/{file_id}")["bytes"])
