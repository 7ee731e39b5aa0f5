"""A tenant that has some of everything, as pictures of the console show it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_FAILED, JOB_STATUS_RUNNING, JobError
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from playwright.sync_api import expect

from tests.browser.console_charts import chart
from tests.browser.console_datasets import datasets_that_differ
from tests.browser.console_evaluations import evaluate, evaluated_rows
from tests.browser.console_experiments import begin_experiment
from tests.browser.console_forms import say_forms
from tests.browser.console_place import OPERATOR, ask, record_usage
from tests.browser.console_router import SIGN_IN
from tests.browser.console_trainings import say_steps, spec_of, trained
from tests.browser.console_visitor import LONG_MS, ConsoleVisitor
from tests.browser.live_gateway import TENANT, LiveGateway

DAY = 86_400
COUNTS = {
    **{"rows_in": 12_480, "rows_kept": 11_902, "rows_dropped": 431, "duplicates": 147},
    **{"train": 9_522, "valid": 1_190, "test": 1_190},
}
QUESTIONS = {"en": "Where is my parcel?", "zh": "我的包裹到哪里了？"}
ANSWERS = {
    "en": "It left our warehouse yesterday and arrives tomorrow before noon.",
    "zh": "包裹昨天已经从仓库发出，预计明天中午之前送达。",
}
JUDGED = {
    "en": "Charge it to my card number 4111 1111, please.",
    "zh": "请从我的银行卡号 4111 1111 扣款。",
}
ANSWER_SECONDS = 1.0
SPEED = {"first_token_seconds": 0.18, "total_seconds": 14.2, "finish_reason": "stop"}
TWO_MODELS = "/playground/compare?models=support,mv-base"
ROWS = b'{"word": "parcel", "kind": "thing"}\n'
SHOWN = """{"messages": [
    {"role": "user", "content": "parcel"}, {"role": "assistant", "content": "thing"}]}"""
RULES = """\
rules:
  - id: no-card-numbers
    category: pii
    severity: medium
    action: mask
    directions: both
    keywords: ["card number", "卡号"]
"""


def nothing(visitor: ConsoleVisitor) -> None:
    """The page as it opens."""


@dataclass(frozen=True)
class ConsoleLook:
    """What a picture shows: a page, who opens it, and what they do there first."""

    place: str
    claims: dict[str, str] = field(default_factory=dict)
    act: Callable[[ConsoleVisitor], None] = nothing


def looks_of(gateway: LiveGateway, endpoint: str) -> dict[str, ConsoleLook]:
    """Of each page of the router, and of an evaluation's; what they show is made here.

    Args:
        endpoint: where somebody takes webhooks.
    """
    _say_models(gateway)
    work, serve = _work(gateway), _serve(say_forms(gateway))
    learn, govern = _learn(gateway), _govern(gateway, endpoint)
    home = {SIGN_IN: ConsoleLook(""), "home": ConsoleLook("/")}
    return {**home, **work, **serve, **learn, **govern}


def _say_models(gateway: LiveGateway) -> None:
    house, run = gateway.house, gateway.run
    of = {"tenant": TENANT, "name": "parcels", "base_version_id": "mv-base"}
    scored = {"metrics": {"eval_accuracy": 0.914, "eval_loss": 0.31}, "size_bytes": 18_400_000}
    data = {"dataset_id": "ds-parcels", "job_id": "ftjob-parcels", "context_tokens": 4096}
    adapter = {"form": "adapter", "parent_version_id": "mv-base", **data, **scored}
    run(house.say_model("mv-parcels", **of, **adapter))
    for form, size in (("openvino-int8", 540_000_000), ("gguf-q4_k_m", 310_000_000)):
        built = {"form": form, "parent_version_id": "mv-parcels", "size_bytes": size}
        run(house.say_model(f"mv-parcels-{form[:4]}", **of, **built))
    run(house.say_alias(TENANT, "support", "mv-parcels-open"))


def _work(gateway: LiveGateway) -> dict[str, ConsoleLook]:
    """Datasets, and trainings that run, wait, succeeded and failed."""
    dataset = gateway.make_dataset(COUNTS, "parcels")
    gateway.make_dataset({**COUNTS, "rows_kept": 3_080}, "returns")
    runs = [trained(gateway, spec_of("parcels", dataset, rate), 400) for rate in (0.0003, 0.001)]
    failed = gateway.submit_training(spec_of("returns", dataset, 0.01))
    error = JobError(
        code="out_of_memory",
        message="The GPU has 24 GB; a step of batch size 32 needs 31 GB.",
        remedy="Set batch_size to 16, or gradient_checkpointing to true.",
    )
    gateway.say_state(failed, JOB_STATUS_FAILED, error=error)
    running = gateway.submit_training(spec_of("parcels-2", dataset, 0.0005))
    gateway.say_state(running, JOB_STATUS_RUNNING)
    say_steps(gateway, running, range(1, 25))
    gateway.submit_training(spec_of("parcels-3", dataset, 0.0007))
    evaluation = evaluate(gateway, evaluated_rows(60))
    pair = datasets_that_differ(gateway, ["Where is my parcel?", "May I send it back?", "Thanks!"])
    return {
        "jobs": ConsoleLook("/jobs"),
        "jobs-one": ConsoleLook(f"/jobs/{running}", act=_see_charts),
        "jobs-one-evaluation": ConsoleLook(f"/jobs/{evaluation}"),
        "jobs-new": ConsoleLook(f"/jobs/new?model=mv-base&dataset={dataset}"),
        "jobs-new-evaluation": ConsoleLook(
            f"/jobs/new?kind=evaluate&model=support&dataset={dataset}", act=_add_a_slice
        ),
        "jobs-new-build": ConsoleLook("/jobs/new?kind=optimize&model=mv-parcels"),
        "jobs-compare": ConsoleLook(f"/jobs/compare?ids={','.join(runs)}"),
        "datasets": ConsoleLook("/datasets"),
        "datasets-one": ConsoleLook(f"/datasets/{dataset}"),
        "datasets-compare": ConsoleLook(f"/datasets/compare?ids={','.join(pair)}"),
        "datasets-new": ConsoleLook("/datasets/new", act=_upload),
    }


def _serve(formed: str) -> dict[str, ConsoleLook]:
    """Models, the playground, and the policy.

    Args:
        formed: version with builds that were measured.
    """
    return {
        "models": ConsoleLook("/models"),
        "models-one": ConsoleLook("/models/mv-parcels"),
        "models-one-forms": ConsoleLook(f"/models/{formed}"),
        "aliases": ConsoleLook("/aliases", act=_write_an_alias),
        "aliases-one": ConsoleLook("/aliases/support"),
        "playground": ConsoleLook("/playground", act=_talk),
        "playground-compare": ConsoleLook(TWO_MODELS, act=_ask_two),
        "policies": ConsoleLook("/policies", act=_judge),
        "policies-one": ConsoleLook("/policies/1"),
    }


def _learn(gateway: LiveGateway) -> dict[str, ConsoleLook]:
    """Experiments, and what an alias logs."""
    token = gateway.token()
    experiment = begin_experiment(gateway, "mv-parcels-open", "mv-parcels-gguf")
    ask(gateway, token, "PUT", "/v1/aliases/parcels", version_id="mv-parcels-open", store=True)
    for language, text in QUESTIONS.items():
        gateway.house.inference.pieces = list(ANSWERS[language])
        messages = [{"role": "user", "content": text}]
        body = {"model": "parcels", "messages": messages, "user": "customer 4711"}
        ask(gateway, token, "POST", "/v1/chat/completions", **body)
    return {
        "experiments": ConsoleLook("/experiments"),
        "experiments-one": ConsoleLook(f"/experiments/{experiment}", act=_see_evidence),
        "logs": ConsoleLook("/logs", act=_see_logged),
    }


def _govern(gateway: LiveGateway, endpoint: str) -> dict[str, ConsoleLook]:
    """Keys, usage, budget, records, webhooks, tenants and operations."""
    token = gateway.token()
    limits = {"tokens": 5_000_000, "money": "250", "period": "month", "requests_per_minute": 600}
    ask(gateway, token, "PUT", "/v1/budget", limits=limits)
    key = _keys(gateway, token)
    _policies(gateway, token)
    hook = _webhook(gateway, token, endpoint)
    operator = gateway.token(**OPERATOR)
    for name in ("globex", "initech"):
        ask(gateway, operator, "POST", "/v1/tenants", name=name)
    ask(gateway, operator, "PUT", "/v1/tenants/globex/limits", limits=limits)
    ask(gateway, operator, "POST", "/v1/tenants/initech/suspend")
    return {
        "keys": ConsoleLook("/keys"),
        "keys-one": ConsoleLook(f"/keys/{key}"),
        "keys-new": ConsoleLook("/keys/new"),
        "usage": ConsoleLook("/usage"),
        "audit": ConsoleLook("/audit"),
        "webhooks": ConsoleLook("/webhooks"),
        "webhooks-one": ConsoleLook(f"/webhooks/{hook}", act=_see_a_delivery),
        "budget": ConsoleLook("/budget"),
        "access": ConsoleLook("/access"),
        "operations": ConsoleLook("/operations", OPERATOR),
        "tenants": ConsoleLook("/tenants", OPERATOR),
        "tenants-one": ConsoleLook("/tenants/globex", OPERATOR),
    }


def _keys(gateway: LiveGateway, token: str) -> str:
    limits = {"requests_per_minute": 60, "tokens": 200_000, "period": "day"}
    made = [
        ask(gateway, token, "POST", "/v1/keys", name=name, **wanted)["id"]
        for name, wanted in (
            ("support-bot", {"scopes": ["chat"], "models": ["support"], "limits": limits}),
            ("nightly-trainings", {"scopes": ["jobs", "datasets", "models:read"]}),
            ("old-prototype", {"scopes": ["chat"]}),
        )
    ]
    ask(gateway, token, "DELETE", f"/v1/keys/{made[-1]}")
    for days in range(6):
        for number, (key, version) in enumerate(((made[0], "mv-parcels-open"), ("", "mv-base"))):
            spent = {"prompt_tokens": 4_000 - 500 * days, "completion_tokens": 900 + 150 * days}
            at = time.time() - days * DAY
            for _ in range(1 + (days * 5 + 3 * number) % 7):
                fields: dict[str, Any] = {**spent, **SPEED, "version_id": version, "key_id": key}
                record_usage(gateway, TENANT, at, **fields, micros=81_000)
    return str(made[0])


def _policies(gateway: LiveGateway, token: str) -> None:
    """Two versions of the tenant's own, which judge."""
    bundle = compile_policy(parse_policy({"support.yaml": RULES}))
    gateway.house.moderation.policy = CompiledPolicy.from_bundle(bundle.content)
    for note in ("", "# since November\n"):
        documents = [{"name": "support.yaml", "text": note + RULES}]
        ask(gateway, token, "PUT", "/v1/moderation/policy", documents=documents)


def _webhook(gateway: LiveGateway, token: str, endpoint: str) -> str:
    events = ["job.succeeded", "job.failed"]
    hook = str(ask(gateway, token, "POST", "/v1/webhooks", url=endpoint, events=events)["id"])
    ask(gateway, token, "POST", f"/v1/webhooks/{hook}/test")
    return hook


def _see_charts(visitor: ConsoleVisitor) -> None:
    last = chart(visitor.page, visitor.say("chart.speed"))
    expect(last).to_have_attribute("data-points", "24", timeout=LONG_MS)


def _add_a_slice(visitor: ConsoleVisitor) -> None:
    title = visitor.say("order.group.slices")
    visitor.page.locator("summary").get_by_text(title, exact=True).click()
    visitor.button("order.add", title=title).click()
    for key, text in (("order.field.by", "length"), ("order.field.edges", "100, 500")):
        visitor.page.get_by_role("textbox", name=visitor.say(key), exact=True).fill(text)


def _see_evidence(visitor: ConsoleVisitor) -> None:
    expect(visitor.region("experiment.evidence").get_by_text("block_rate")).to_be_visible()


def _see_logged(visitor: ConsoleVisitor) -> None:
    expect(visitor.page.get_by_role("article")).to_have_count(len(QUESTIONS), timeout=LONG_MS)


def _see_a_delivery(visitor: ConsoleVisitor) -> None:
    expect(visitor.row("webhook.test")).to_be_visible(timeout=LONG_MS)


def _upload(visitor: ConsoleVisitor) -> None:
    visitor.gateway.house.data_prep.shown_row = SHOWN
    rows = visitor.folder / "words.jsonl"
    rows.write_bytes(ROWS * 3_000)
    visitor.field("new_data.choose").set_input_files(rows)
    expect(visitor.button("new_data.create")).to_be_visible(timeout=LONG_MS)


def _talk(visitor: ConsoleVisitor) -> None:
    _ask(visitor)
    expect(visitor.page.locator("article.assistant code")).to_be_visible()
    visitor.button("feedback.good").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("fb-")


def _ask(visitor: ConsoleVisitor) -> None:
    language = visitor.say.language
    inference = visitor.gateway.house.inference
    inference.pieces, inference.lasts = list(ANSWERS[language]), ANSWER_SECONDS
    visitor.field("play.message").fill(QUESTIONS[language])
    visitor.button("play.send").click()


def _ask_two(visitor: ConsoleVisitor) -> None:
    _ask(visitor)
    expect(visitor.button("feedback.good")).to_have_count(2)


def _write_an_alias(visitor: ConsoleVisitor) -> None:
    page, say = visitor.page, visitor.say
    visitor.field("alias.name").fill("support-next")
    visitor.button("alias.add").click()
    canary = (("mv-parcels-open", "90"), ("mv-parcels-gguf", "10"))
    for place, (version, weight) in enumerate(canary, 1):
        page.get_by_label(say("alias.version_n", n=place), exact=True).select_option(version)
        page.get_by_label(say("alias.weight_n", n=place), exact=True).fill(weight)
    visitor.field("alias.shadow_version").select_option("mv-base")


def _judge(visitor: ConsoleVisitor) -> None:
    visitor.field("policy.text").fill(JUDGED[visitor.say.language])
    visitor.button("policy.test").click()
    expect(visitor.page.get_by_role("status")).to_be_visible()
