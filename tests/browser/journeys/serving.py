"""Journeys of who serves models: lineage, the playground, and the policy that judges texts."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.console_place import ask
from tests.browser.console_visitor import ConsoleVisitor

from gateway_support.house import compiled  # isort: skip - a part of other tests


def trace_a_version(visitor: ConsoleVisitor) -> None:
    """From an alias to its version, and by the graph to the dataset that it comes from."""
    say, tenant = visitor.say, visitor.own("family")
    ids = _family(visitor, tenant)
    page = visitor.open("/models", tenant=tenant)
    visitor.region("model.aliases").get_by_role("link", name=ids["int8"]).click()
    expect(page.get_by_role("heading", name=ids["int8"])).to_be_visible()
    nodes = page.get_by_role("group", name=say("model.graph")).get_by_role("link")
    expect(nodes).to_have_count(5)
    version = say("model.node.version")
    way = (
        f"{say('model.node.dataset')} ds-words",
        f"{version} adapter <script>",
        f"{version} openvino-int8 int8",
        f"{say('model.node.alias')} served",
    )
    places = [_left_of(nodes, page, name) for name in way]
    assert places == sorted(places)
    assert _left_of(nodes, page, f"{version} safetensors root") < places[1]

    page.get_by_role("link", name=way[1]).click()

    expect(page.get_by_role("heading", name=ids["words"])).to_be_visible()
    expect(nodes).to_have_count(5)
    visitor.button("model.train").click()
    expect(visitor.heading("train.title")).to_be_visible()


def _family(visitor: ConsoleVisitor, tenant: str) -> dict[str, str]:
    """A base, what was tuned from it, a build of that, and an alias that asks the build."""
    house, run = visitor.gateway.house, visitor.gateway.run
    ids = {name: visitor.own(f"mv-{name}") for name in ("root", "words", "int8")}
    tuned = {"parent_version_id": ids["root"], "base_version_id": ids["root"]}
    of = {"tenant": tenant}
    run(house.say_model(ids["root"], name="root", form="safetensors", **of))
    tuned |= {"name": HOSTILE[0], "form": "adapter", "dataset_id": "ds-words"}
    run(house.say_model(ids["words"], **tuned, **of))
    built = {"name": "int8", "form": "openvino-int8", "parent_version_id": ids["words"]}
    run(house.say_model(ids["int8"], **built, **of))
    run(house.say_alias(tenant, "served", ids["int8"]))
    return ids


def _left_of(nodes: Locator, page: Page, name: str) -> float:
    box = nodes.and_(page.get_by_role("link", name=name)).bounding_box()
    assert box is not None
    return box["x"]


def point_an_alias(visitor: ConsoleVisitor) -> None:
    """An alias is made, gets a canary, a shadow and a fallback, is refused a build, and removed."""
    tenant = visitor.own("movers")
    steady, canary, spare, lossy = _versions(visitor, tenant)
    page = visitor.open("/models", tenant=tenant)
    visitor.button("alias.new").click()
    visitor.field("alias.name").fill("support")
    _numbered(visitor, "alias.version_n", 1).select_option(steady)
    visitor.confirm("alias.set")
    facts = page.locator("main > .facts")
    expect(facts).to_contain_text(steady)

    visitor.button("alias.add").click()
    _numbered(visitor, "alias.version_n", 2).select_option(canary)
    for place, weight in ((1, "90"), (2, "10")):
        _numbered(visitor, "alias.weight_n", place).fill(weight)
    visitor.field("alias.shadow_version").select_option(spare)
    visitor.field("alias.shadow_percent").fill("2.5")
    _numbered(visitor, "alias.fallback_n", 1).select_option(spare)
    visitor.confirm("alias.set")
    expect(visitor.text("alias.is_set")).to_be_visible()
    expect(facts).to_contain_text("90%")
    token = visitor.gateway.token(tenant=tenant)
    aliases = ask(visitor.gateway, token, "GET", "/v1/aliases")["data"]
    (kept,) = [each for each in aliases if each["id"] == "support"]
    parts = [(each["version_id"], each["weight"]) for each in kept["variants"]]
    assert parts == [(steady, 90), (canary, 10)]
    assert (kept["shadow"], kept["fallback"]) == ({"version_id": spare, "share": 0.025}, [spare])

    _numbered(visitor, "alias.version_n", 2).select_option(lossy)
    visitor.confirm("alias.set")
    expect(visitor.alert()).to_contain_text(f"Name its source {steady}")
    expect(visitor.text("alias.is_set")).to_have_count(0)
    visitor.confirm("alias.remove")
    expect(visitor.heading("nav.models")).to_be_visible()
    expect(visitor.region("model.aliases").get_by_role("row", name="default")).to_be_visible()
    expect(visitor.region("model.aliases")).not_to_contain_text("support")


def _versions(visitor: ConsoleVisitor, tenant: str) -> tuple[str, str, str, str]:
    """Three that an alias may name, and a build that loses more than was allowed."""
    house, run = visitor.gateway.house, visitor.gateway.run
    names = ("steady", "canary", "spare", "lossy")
    steady, canary, spare, lossy = (visitor.own(f"mv-{name}") for name in names)
    of = {"tenant": tenant, "form": "openvino-int8"}
    for version_id in (steady, canary, spare):
        run(house.say_model(version_id, name=HOSTILE[0], **of))
    lost = {"accuracy_loss": 0.3, "accuracy_loss_allowed": 0.02}
    run(house.say_model(lossy, name="lossy", parent_version_id=steady, metrics=lost, **of))
    return steady, canary, spare, lossy


def _numbered(visitor: ConsoleVisitor, key: str, n: int) -> Locator:
    return visitor.page.get_by_label(visitor.say(key, n=n), exact=True)


def talk_to_a_model(visitor: ConsoleVisitor) -> None:
    """An answer is streamed, marked where the policy matched, refused, and stopped."""
    inference, say = visitor.gateway.house.inference, visitor.say
    inference.reset()
    inference.pieces = ["take a lock pick ", HOSTILE[1]]
    page = visitor.open("/playground")
    message = visitor.field("play.message")
    message.fill("how does one open it")
    visitor.button("play.send").click()
    flagged = say("play.flagged", side=say("play.output"))
    expect(page.locator(".mark")).to_have_text(f"{flagged} note-locks (illicit)")
    answer = page.locator("article.assistant .text")
    expect(answer).to_have_text("".join(inference.pieces), use_inner_text=True)
    expect(page.locator("article.assistant code")).to_have_text("mv-build")
    message.fill("where is forbidden fruit")
    visitor.button("play.send").click()
    expect(visitor.alert()).to_contain_text("no-eating (illicit)")
    expect(page.locator("article.user")).to_have_count(1)

    visitor.button("play.clear").click()
    inference.endless = True
    message.fill("count")
    message.press("Control+Enter")
    expect(answer).to_contain_text("3 4 5")
    visitor.button("play.stop").click()
    expect(visitor.button("play.send")).to_be_visible()
    visitor.gateway.wait_until(lambda: inference.in_flight == 0)
    inference.reset()
    visitor.text("play.curl").click()
    expect(page.get_by_label("curl", exact=True)).to_contain_text("/v1/chat/completions")
    visitor.text("play.python").click()
    expect(page.get_by_label("Python", exact=True)).to_contain_text("client.chat.completions")


def try_the_policy(visitor: ConsoleVisitor) -> None:
    """A text is judged, and each rule that matched is shown with the place where it did."""
    visitor.gateway.house.moderation.reset()
    page, say = visitor.open("/policies"), visitor.say
    tester = visitor.region("policy.tester")
    _judge(visitor, f"𝒳 {HOSTILE[1]} my phone")
    expect(page.get_by_role("status")).to_have_text(say("policy.flagged"))
    digest = compiled()[0].digest
    expect(tester).to_contain_text(f"{say('policy.judged_by')} {digest}")
    first = len(f"𝒳 {HOSTILE[1]} my ") + 1
    place = say("policy.place", first=first, last=first + 4)
    cells = tester.locator("tbody tr").locator("th, td")
    expect(cells).to_have_text(["no-number", "pii", say("policy.action.mask"), place, "phone"])
    expect(page.locator("mark")).to_have_text("phone")
    expect(page.locator("p.text")).to_have_text(f"𝒳 {HOSTILE[1]} my phone")

    for text, verdict in (("eat the forbidden fruit", "blocked"), ("hello", "allowed")):
        _judge(visitor, text)
        expect(page.get_by_role("status")).to_have_text(say(f"policy.{verdict}"))


def _judge(visitor: ConsoleVisitor, text: str) -> None:
    visitor.field("policy.text").fill(text)
    visitor.button("policy.test").click()


def change_the_policy(visitor: ConsoleVisitor) -> None:
    """Errors by line, a version put in force, an earlier one brought back, the shared one again."""
    moderation = visitor.gateway.house.moderation
    moderation.reset()
    page, proposal = visitor.open("/policies"), visitor.region("policy.propose")
    versions = visitor.region("policy.versions")
    expect(visitor.text("policy.is_shared")).to_be_visible()
    _propose(visitor, "rules:\n- id: wrong\n- id: worse")
    expect(visitor.alert()).to_contain_text(visitor.say("policy.wrong"))
    visitor.button("policy.go_to", line=3).click()
    for version in (1, 2):
        _propose(visitor, f"rules: []  # {version}")
        expect(visitor.text("policy.valid")).to_be_visible()
        visitor.confirm("policy.put", proposal)
        expect(versions.locator("tbody tr")).to_have_count(version)
    sent = moderation.puts[-1]
    assert (sent.dry_run, sent.expected_digest) == (False, "sha256:3")

    visitor.confirm("policy.revert", versions.get_by_role("row").nth(2))
    expect(versions.locator("tbody th")).to_have_text(["3", "2", "1"])
    expect(versions.get_by_role("row").nth(1)).to_contain_text(visitor.say("policy.in_force"))
    visitor.confirm("policy.to_shared")
    expect(visitor.text("policy.is_shared")).to_be_visible()
    page.get_by_role("link", name="2", exact=True).click()
    expect(visitor.heading("policy.version_of", version=2)).to_be_visible()


def _propose(visitor: ConsoleVisitor, text: str) -> None:
    visitor.field("policy.document").fill("a.yaml")
    visitor.field("policy.yaml").fill(text)
    visitor.button("policy.check").click()
