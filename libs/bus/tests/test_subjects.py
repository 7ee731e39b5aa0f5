"""The table: what may be said on the bus, and what never reaches it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill.jobs.v1.job_pb2 import JobState
from modelmill_bus import subjects
from modelmill_bus import subjects as webhook_subjects
from modelmill_bus.bus import Bus
from modelmill_bus.filters import stream_of
from modelmill_service_kit.errors import InvalidInputError

ALLOWED = "abcdefghijklmnopqrstuvwxyz0123456789-"
BUILDERS = [
    lambda text: subjects.job_requested("train", text, "ftjob-1"),
    lambda text: subjects.job_requested("train", "acme", text),
    lambda text: subjects.job_resumed("train", text, "ftjob-1"),
    lambda text: subjects.job_state(text),
    lambda text: subjects.job_progress(text),
    lambda text: subjects.job_control(text),
    lambda text: subjects.file_state(text),
    lambda text: subjects.alias_state("acme", text),
    lambda text: subjects.alias_state(text, "best"),
    lambda text: subjects.policy_state(text),
    lambda text: subjects.key_state(text),
    lambda text: subjects.budget_state(text),
    lambda text: webhook_subjects.webhook_state(text),
    lambda text: webhook_subjects.webhook_due(text),
    lambda text: webhook_subjects.webhook_attempt(text),
    lambda text: subjects.usage_recorded(text),
    lambda text: subjects.feedback_recorded(text),
    lambda text: subjects.audit(text),
]


def is_token(text: str) -> bool:
    return 1 <= len(text) <= 63 and set(text) <= set(ALLOWED) and text[0] != "-"


@settings(deadline=None)
@given(st.text().filter(lambda text: not is_token(text)), st.sampled_from(BUILDERS))
@example("x\r\nPUB evil 1", BUILDERS[3])
@example("x\n", BUILDERS[3])
@example("*", BUILDERS[1])
@example(">", BUILDERS[3])
@example("a.b", BUILDERS[3])
@example("a b", BUILDERS[0])
@example("", BUILDERS[3])
@example("-a", BUILDERS[3])
@example("ａ", BUILDERS[3])
@example("x" * 64, BUILDERS[3])
def test_what_is_not_a_token_builds_no_subject(text, build):
    with pytest.raises(InvalidInputError):
        build(text)


@settings(deadline=None)
@given(st.text(ALLOWED, min_size=1, max_size=63).filter(is_token), st.sampled_from(BUILDERS))
def test_every_subject_that_is_built_has_a_row_in_the_table(text, build):
    where = subjects.route(build(text))

    assert where.template.replace("*", "").strip(".") in build(text)


@settings(deadline=None)
@given(st.text())
@example("job.state.a\n")
@example("job.state.*")
def test_whatever_has_a_route_is_made_of_tokens(text):
    try:
        subjects.route(text)
    except InvalidInputError:
        return
    assert all(is_token(token) for token in text.split("."))


@pytest.mark.parametrize(
    "subject",
    [
        "job.state.*",
        "job.state.>",
        "job.state.a\n",
        "job.state.a\r\nPUB evil 1",
        "job.state",
        "job.state.a.b",
        "job.state.",
        "model.ready.",
        "$JS.API.STREAM.DELETE.JOBS",
        "",
    ],
)
def test_a_subject_out_of_the_table_has_no_route(subject):
    with pytest.raises(InvalidInputError):
        subjects.route(subject)


def test_only_known_kinds_of_job_have_a_subject():
    with pytest.raises(InvalidInputError, match="dataset, train"):
        subjects.job_requested("mine", "acme", "ftjob-1")


def test_filters_belong_to_one_stream():
    assert stream_of(("job.requested.train.>", "job.state.*")) == "JOBS"
    assert stream_of(("model.ready", "model.retired")) == "MODELS"
    assert stream_of(("job.state.ftjob-1",)) == "JOBS"
    with pytest.raises(InvalidInputError):
        stream_of(("job.>",))
    with pytest.raises(InvalidInputError):
        stream_of(("job.state.*", "model.ready"))
    with pytest.raises(InvalidInputError):
        stream_of(("job.state.*.*",))


async def test_the_broker_has_every_stream_of_the_table_as_the_table_says(broker, bus):
    async with Bus.connect(broker.url, broker.token, name="second"):
        infos = {info.config.name: info.config for info in await bus._link.js.streams_info()}

    assert set(infos) == {stream.name for stream in subjects.STREAMS}
    for stream in subjects.STREAMS:
        assert sorted(infos[stream.name].subjects) == sorted(stream.taken)
    jobs, progress = infos["JOBS"], infos["PROGRESS"]
    assert (jobs.storage, jobs.retention, jobs.discard) == ("file", "limits", "new")
    assert jobs.max_bytes > 0
    assert jobs.max_age == 0
    assert jobs.duplicate_window == 24 * 3600
    assert progress.max_age == 3600


async def test_an_operators_limits_survive_a_start_and_new_subjects_are_added(broker, bus):
    config = (await bus._link.js.stream_info("MODELS")).config
    await bus._link.js.update_stream(config.evolve(subjects=["model.ready"], max_bytes=10**7))
    async with Bus.connect(broker.url, broker.token, name="second"):
        changed = (await bus._link.js.stream_info("MODELS")).config

    assert changed.subjects == ["model.*"]
    assert changed.max_bytes == 10**7


async def test_the_wrong_body_for_a_subject_is_a_mistake_of_ours(bus):
    with pytest.raises(TypeError, match="FileState"):
        await bus.publish(subjects.file_state("file-1"), JobState())
