"""Reference of data preparation and of policies, from the tables that the services use."""

from collections.abc import Iterable

from modelmill_data_prep.domain.cleaning.clean_plan import STANDARD, TRANSFORMS
from modelmill_data_prep.domain.entities.entity_plan import ACTIONS, MODEL_TYPES, TYPES
from modelmill_data_prep.domain.filtering.filter_plan import THRESHOLDS
from modelmill_data_prep.domain.language_names import LANGUAGES, VARIANTS
from modelmill_data_prep.domain.mapping.layouts import LAYOUTS
from modelmill_guard import judge as judges
from modelmill_guard import policy as policies
from modelmill_guard import rule as rules
from modelmill_guard.detectors import DETECTOR_NAMES
from modelmill_guard.policy import Policy
from modelmill_guard.variants import VARIANTS as SPELLINGS

from deploy.site.code_reading import ROOT, attribute_docs, classes_with_name, one_line

CLEANING = ROOT / "services/data_prep/src/modelmill_data_prep/domain/cleaning"
SHOWN = ("HTTP API", "api.md#shape-DatasetBody")


def _table(*head: str, rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def data_page() -> str:
    """Layouts, cleaners, thresholds, entity types and languages."""
    said = classes_with_name(CLEANING) | {"simplified": "Converts traditional to simplified."}
    layouts = ((f"`{name}`", one_line(it.__doc__)) for name, it in LAYOUTS.items())
    cleaners = (
        (f"`{name}`", "yes" if name in STANDARD else "", said.get(name, "")) for name in TRANSFORMS
    )
    limits = (
        (f"`{it.name}`", "" if it.standard is None else f"{it.standard:g}", it.unit, it.why)
        for it in THRESHOLDS
    )
    types = ((f"`{name}`", "spaCy" if name in MODEL_TYPES else "rules") for name in TYPES)
    return "".join(
        [
            "# Data preparation: options\n\nNames that a dataset's order may give. ",
            f"[{SHOWN[0]}]({SHOWN[1]}) has its fields, and ",
            "[how a row passes](data-prep-pipeline.md) explains them.\n\n",
            "## Layouts\n\n",
            _table("layout", "row", rows=layouts),
            "## Cleaners\n\nThey run in this order.\n\n",
            _table("cleaner", "default", "does", rows=cleaners),
            "## Thresholds\n\nThe preset `standard` has the limits of the second column.\n\n",
            _table("threshold", "standard", "of", "against", rows=limits),
            f"## Entity types\n\nActions: {_listed(ACTIONS)}. `*` names all other types.\n\n",
            _table("type", "found by", rows=types),
            f"## Languages\n\n{_listed((*LANGUAGES, *VARIANTS))}\n",
        ]
    )


def policy_page() -> str:
    """The format of a moderation policy."""
    limits = (
        ("rules", policies.MAX_RULES),
        ("rules with a pattern or detector", policies.MAX_PATTERNS),
        ("judges", policies.MAX_JUDGES),
        ("characters of a keyword", rules.MAX_KEYWORD_CHARACTERS),
        ("`max_check_characters`", policies.MAX_CHECK_CHARACTERS),
        ("labels of a judge", judges.MAX_LABELS),
        ("`window` of a judge", judges.MAX_WINDOW),
    )
    return "".join(
        [
            "# Moderation policy\n\nA YAML document, or several that form one policy. ",
            "[How the guard matches](guard-matching.md) explains what a keyword finds.\n\n",
            "## Document\n\n",
            _fields(Policy),
            f"`when_unavailable` is one of {_listed(policies.WhenUnavailable)}.\n\n",
            "## Rules\n\nOne of `keywords`, `pattern` and `detector` is given.\n\n",
            _fields(rules.Rule),
            f"- `severity`: {_listed(rules.SEVERITIES)}\n",
            f"- `action`: {_listed(rules.ACTIONS)}\n",
            f"- `directions`: {_listed(rules.DIRECTIONS)}\n",
            f"- `variants`: {_listed(SPELLINGS)}\n",
            f"- `detector`: {_listed(DETECTOR_NAMES)}\n\n",
            "## Judges\n\nOne of `classifier` and `service` is given.\n\n",
            _fields(judges.Judge),
            "## Limits\n\n",
            _table("of", "at most", rows=((name, f"{most:,}") for name, most in limits)),
        ]
    )


def _fields(cls: type[object]) -> str:
    rows = ((f"`{name}`", said or " ") for name, said in attribute_docs(cls).items())
    return _table("field", "is", rows=rows)
