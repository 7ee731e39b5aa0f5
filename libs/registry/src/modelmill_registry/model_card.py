"""The model card: README.md of an artifact, written from what its manifest will say.

In the form that Hugging Face reads: a head in YAML, then Markdown. The same facts give the same
bytes; nothing in it is a time or a path.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelmill_registry.artifact_store import ArtifactStore
from modelmill_registry.default_build import ALLOWED
from modelmill_registry.manifest import origin_of

CARD = "README.md"
LIBRARIES = {"adapter": "peft", "safetensors": "transformers"}
"""By form; another form is of the library that begins its name."""
BUILD_LIBRARIES = ("compressed-tensors",)
"""Of those, the ones whose own names have more than one word."""
WHAT = {"adapter": "An adapter for", "safetensors": "A fine-tuned model, made from"}
PRUNED = "A pruned model, to be trained further, made from"
_MAX_HEAD = 16_384
_LICENCE = re.compile(r"^license:\s*[\"']?([A-Za-z0-9][\w.+-]*)[\"']?\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that a card tells."""

    name: str
    """Of the model, for people."""
    form: str
    base_name: str
    """Of the model that training began with, also where a build was made of what came of it."""
    licence: str
    """As the base's own card names it; empty when it names none."""
    made_from: Mapping[str, str]
    """Role to digest, as in the manifest."""
    attributes: Mapping[str, Any]
    """As in the manifest."""
    figures: Mapping[str, Any]
    """What was measured, by name."""
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """evaluation.json."""
    dataset: str = ""
    """Name or id of the dataset; empty when there is none."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of the dataset's rows, by what became of them."""
    origin: Mapping[str, str] = field(default_factory=dict)
    """Of the base, as `origin_of` gives it."""
    pictures: tuple[str, ...] = ()
    """Files of the artifact to be shown."""


def licence_of(folder: Path) -> str:
    """What the head of a model folder's own card says; empty when it says nothing."""
    card = folder / CARD
    if not card.is_file():
        return ""
    with card.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_MAX_HEAD)
    _, opened, rest = text.partition("---\n")
    found = _LICENCE.search(rest.partition("\n---")[0]) if opened else None
    return found[1] if found else ""


def model_card(facts: CardFacts) -> str:
    """The text of README.md."""
    is_build = facts.form not in WHAT
    source = facts.name if is_build else facts.base_name
    kind = "A build of" if is_build else PRUNED if _is_pruned(facts) else WHAT[facts.form]
    what = f"{kind} {_plain(source)}"
    sections = [
        _head(facts),
        f"# {_plain(facts.name)}\n\n{what}, in the form `{facts.form}`.\n",
        _advice(facts),
        _lineage(facts),
        _data(facts),
        _training(facts),
        _speed(facts),
        _loss(facts),
        _search(facts),
        _method(facts),
        _evaluation(facts),
        _parity(facts),
        _not_measured(facts),
    ]
    return "\n".join(section for section in sections if section)


def _is_pruned(facts: CardFacts) -> bool:
    return bool(facts.attributes.get("method", {}).get("form") == "pruned")


def _advice(facts: CardFacts) -> str:
    """What whoever trained it must hear first, where there is such."""
    return f"**{_plain(str(facts.figures['advice']))}**\n" if "advice" in facts.figures else ""


def _head(facts: CardFacts) -> str:
    """YAML, in which every JSON text is one as well."""
    library = LIBRARIES.get(facts.form) or _library_of_build(facts.form)
    head: dict[str, Any] = {
        "base_model": facts.origin.get("source", "").removeprefix("hf://") or facts.base_name,
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": ["modelmill", facts.form],
    }
    if facts.licence:
        head = {"license": facts.licence} | head
    if facts.dataset:
        head["datasets"] = [facts.dataset]
    metrics = [
        {"type": "accuracy", "name": name, "value": value}
        for name, (value, _, _) in _accuracies(facts.evaluation)
    ]
    if metrics:
        data = {"name": facts.dataset or "test split", "type": "modelmill"}
        task = {"type": "text-generation"}
        result = {"task": task, "dataset": data, "metrics": metrics}
        head["model-index"] = [{"name": facts.name, "results": [result]}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    return "\n".join(["---", *lines, "---", ""])


def _library_of_build(form: str) -> str:
    return next((name for name in BUILD_LIBRARIES if form.startswith(name)), form.partition("-")[0])


def _lineage(facts: CardFacts) -> str:
    rows = [(role, f"`{digest}`") for role, digest in sorted(facts.made_from.items())]
    licence = f"Licence of the base: `{facts.licence}`." if facts.licence else _NO_LICENCE
    said = f"{origin_words(facts.origin)} {licence}" if facts.origin else licence
    return _section("Lineage", _table(("made from", "artifact"), rows), said)


def imported_card(text: str, origin: Mapping[str, str]) -> str:
    """The card of a model as a hub gave it, with where that was.

    Args:
        text: Its own card; empty where it has none.
    """
    licence = f"Licence there: `{origin['licence']}`." if "licence" in origin else _NO_LICENCE
    where = f"Imported from `{origin['source']}` at the commit `{origin['revision']}`. {licence}"
    return f"{text.rstrip()}\n\n{_section('Origin', where)}".lstrip()


def card_of(store: ArtifactStore, digest: str) -> str | None:
    """The card of a version as people are to read it; None where it has none.

    Raises:
        NotFoundError: no such artifact.
        CorruptArtifactError: a byte of it changed since the commit.
        UnavailableError: the store does not answer.
    """
    manifest = store.manifest(digest)
    has_card = any(entry.path == CARD for entry in manifest.files)
    text = store.content(digest, CARD).decode("utf-8", "replace") if has_card else ""
    if "source" in manifest.attributes:
        return imported_card(text, origin_of(store, digest))
    return text if has_card else None


def origin_words(origin: Mapping[str, str]) -> str:
    """Where a base came from, in a sentence of Markdown."""
    return f"The base is `{origin['source']}` at the commit `{origin['revision']}`."


_NO_LICENCE = "The base's files name no licence; ask whoever provides it before you pass this on."


def _data(facts: CardFacts) -> str:
    if not facts.dataset:
        return ""
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in sorted(facts.counts.items())]
    return _section("Data", f"Dataset `{_plain(facts.dataset)}`.", _table(("rows", ""), rows))


def _training(facts: CardFacts) -> str:
    choices = facts.attributes.get("hyper_parameters") or {}
    numbers = {
        name: value
        for name, value in facts.figures.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and not name.startswith(("parity_", "accuracy", "load_"))
    }
    title = "Training" if choices else "Measurements"
    pictures = [f"![{name}]({name})" for name in facts.pictures]
    return _section(
        title,
        *pictures,
        _table(("measured", ""), [(name, _number(value)) for name, value in numbers.items()]),
        _table(("choice", ""), [(name, f"`{value}`") for name, value in choices.items()]),
    )


def _speed(facts: CardFacts) -> str:
    """A warning, where a build is slower than what it was made from."""
    high = facts.figures.get("speedup_high", facts.figures.get("speedup", 1.0))
    if high >= 1:
        return ""
    return _section(
        "Slower than its source",
        f"At {facts.figures['speedup']:.2f} times the source's tokens per second, and slower in "
        "every round. No name is served by this build; it answers who asks for its version id.",
    )


def _loss(facts: CardFacts) -> str:
    """A warning, where a build loses more than its order allowed."""
    figures = facts.figures
    limited = [name.removesuffix(ALLOWED) for name in figures if name.endswith(ALLOWED)]
    over = [
        f"{name.replace('_', ' ')} {figures[name]:.1%}, allowed {figures[name + ALLOWED]:.1%}"
        for name in limited
        if name in figures and figures[name] > figures[name + ALLOWED]
    ]
    if not over:
        return ""
    return _section(
        "Loses more than allowed",
        f"Measured: {'; '.join(over)}. No name is served by this build, and no alias may name it; "
        "it answers who asks for its version id.",
    )


def _search(facts: CardFacts) -> str:
    """What the search found that made a build, where one did."""
    report = facts.attributes.get("optimization")
    if not report:
        return ""
    wanted = ", ".join(f"{name} {value:g}" for name, value in report["objective"].items())
    load = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in report["load"].items())
    found = [
        (name.removeprefix("load_"), _number(value), _number(facts.figures[f"{name}_source"]))
        for name, value in facts.figures.items()
        if f"{name}_source" in facts.figures and name.startswith("load_")
    ]
    return _section(
        "Search",
        f"One of the builds of a search for {wanted}: {report['verdict'].replace('_', ' ')}. "
        f"Measured under {load}. `optimization.md` has every candidate, with intervals.",
        _table(("measured", "this build", "its source"), found),
    )


def _method(facts: CardFacts) -> str:
    """How the weights of a build were made."""
    method = dict(facts.attributes.get("method") or {})
    candidates = method.pop("candidates", [])
    rows = [(name, str(value)) for name, value in _flat(method)]
    return _section("Method", _table(("", ""), rows), _candidates(candidates))


def _flat(method: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names in words with their values; those of a part are behind its name."""
    for name, value in method.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from ((f"{words}: {inner}", each) for inner, each in _flat(value))
        else:
            yield words, value


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> str:
    """The methods that competed, one a line; a list is a value and its interval."""
    if not candidates:
        return ""
    columns = tuple(name.replace("_", " ") for name in candidates[0])
    return _table(columns, [tuple(map(_cell, each.values())) for each in candidates])


def _cell(value: Any) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return str(value)
    mean, low, high = value
    return f"{mean} ({low} to {high})"


def _evaluation(facts: CardFacts) -> str:
    rows = [
        (name, f"{mean:.1%}", f"{low:.1%} to {high:.1%}")
        for name, (mean, low, high) in _accuracies(facts.evaluation)
    ]
    differences = facts.evaluation.get("differences") or {}
    rows += [
        (name, f"{each['mean']:+.1%}", f"{each['low']:+.1%} to {each['high']:+.1%}")
        for name, each in differences.items()
    ]
    if not rows:
        return ""
    asked = (
        f"{facts.evaluation['rows']:,} rows of the test split, by the likelihood of the choices."
    )
    return _section("Evaluation", asked, _table(("accuracy", "", "95 %"), rows))


def _parity(facts: CardFacts) -> str:
    parity = facts.attributes.get("parity") or {}
    rows = [
        (
            _plain(each["form"]),
            _number(each["largest_difference"]),
            _number(each["largest_share"]),
            f"{each['greedy_agreement']:.1%}",
        )
        for each in parity.get("forms", ())
    ]
    if not rows:
        return ""
    asked = (
        f"{parity['goldens']} golden prompts, {parity['positions']} positions; token ids of the "
        f"prompts are {parity['prompt_ids']}. Beside {parity['reference']}:"
    )
    columns = ("form", "largest logit difference", "in standard deviations", "same greedy token")
    return _section("Parity", asked, _table(columns, rows))


def _not_measured(facts: CardFacts) -> str:
    """What nobody may read into the card."""
    scored = bool(list(_accuracies(facts.evaluation)))
    missing = [
        () if scored else ("how well it answers: no test split was scored",),
        () if (facts.attributes.get("parity") or {}).get("forms") else ("parity with training",),
        ()
        if "tokens_per_second" in facts.figures and "speedup" in facts.figures
        else ("speed and memory in serving",),
        ("what it says to hostile, private or harmful prompts, and whom its answers disfavour",),
        ("languages and tasks beyond those of the dataset",),
    ]
    return _section("Not measured", "\n".join(f"- {words}" for each in missing for words in each))


def _accuracies(
    evaluation: Mapping[str, Any],
) -> Iterator[tuple[str, tuple[float, float, float]]]:
    for name, result in evaluation.items():
        if isinstance(result, Mapping) and "accuracy" in result:
            interval = result["accuracy"]
            yield name, (interval["mean"], interval["low"], interval["high"])


def _section(title: str, *parts: str) -> str:
    body = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *body]) + "\n" if body else ""


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _plain(text: str) -> str:
    """A text of others, without what Markdown or HTML would make of it."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
