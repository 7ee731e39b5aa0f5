"""Odd values that an operator may well have; most were once rendered wrong, or refused."""

import re
from pathlib import Path

import pytest

from tests.helm.objects import name_of
from tests.helm.problems import problems
from tests.helm.rendering import CHART, Values, merged, profile, render
from tests.helm.traffic import allowed
from tests.helm.value_sets import ODD

ACCEPTED: tuple[tuple[str, Values], ...] = (
    ("clients are pods of the namespace",
     {"network": {"peers": {"clients": [{"podSelector": {"matchLabels": {"app": "web"}}}]}}}),
    ("clients are all pods of the namespace",
     {"network": {"peers": {"clients": [{"podSelector": {}}]}}}),
    ("a label of the monitor that the chart sets, too",
     {"monitoring": {"labels": {"app.kubernetes.io/instance": "x", "release": "prometheus"}}}),
    ("processor time as a number",
     {"streams": {"resources": {"requests": {"cpu": 0.5}, "limits": {"cpu": 1}}},
      "components": {"gateway": {"resources": {"requests": {"cpu": 2}}}}}),
    ("processor time below one", {"nats": {"resources": {"requests": {"cpu": "0.25"}}}}),
    ("names with dots", {"nats": {"storageClass": "fast.disk"}, "gateway": {"tlsSecret": "a.b"}}),
    ("a toleration without an operator",
     {"nats": {"tolerations": [{"key": "k", "value": "=", "effect": "NoSchedule"}]}}),
    ("a port of the registry", {"images": {"repository": "registry:5000/modelmill"}}),
)  # fmt: skip
VALUE = re.compile(r"(?:: |- |\[)\{\{-? ((?:(?!\}\}).)*?) -?\}\}(?=$|[,}\]])", re.MULTILINE)
"""A whole scalar of a template that an expression makes."""
SAFE = re.compile(r"^(if|else|end|with|range|fail|int )|\| (quote|int|nindent \d+)$")


@pytest.mark.parametrize("text", ODD)
def test_a_name_that_looks_like_a_number_stays_text(text: str) -> None:
    named: Values = {
        "secrets": {"shared": text, "bus": text},
        "gateway": {"tlsSecret": text, "jwtIssuer": text, "jwtAudience": text},
        "images": {"tag": text, "pullSecrets": [text]},
        "nats": {"account": text, "storageClass": text},
        "tls": {"issuer": {"name": text}},
        "artifacts": {"volume": {"existingClaim": text}},
        "components": {"gateway": {"nodeSelector": {"k": text}, "settings": {"KEY": text}}},
    }

    assert problems(merged(profile("gpu"), named)) == []


@pytest.mark.parametrize("text", ["2", "1e3", "null", "true"])
def test_a_namespace_that_looks_like_a_number_stays_text(text: str) -> None:
    assert problems(profile("single"), namespace=text) == []


@pytest.mark.parametrize("text", ["null", "true", "no", "y"])
def test_a_release_that_looks_like_a_word_of_yaml_stays_text(text: str) -> None:
    assert problems(profile("single"), release=text) == []


@pytest.mark.parametrize("added", [pytest.param(added, id=what) for what, added in ACCEPTED])
def test_odd_values_render_to_what_schemas_and_rules_allow(added: Values) -> None:
    assert problems(merged(profile("ha"), added)) == []


@pytest.mark.parametrize("file", sorted((CHART / "templates").glob("*.*")), ids=lambda f: f.name)
def test_templates_quote_every_value_that_is_no_number(file: Path) -> None:
    bare = {each for each in VALUE.findall(file.read_text()) if not SAFE.search(each)}

    # A size of the broker's own configuration, which is no YAML.
    assert bare <= {".Values.nats.maxFileStore"}


def test_who_is_outside_is_reached_on_the_port_of_its_address() -> None:
    peers = {name: [{"namespaceSelector": {}}] for name in ("natsOutside", "ray")}
    added: Values = {
        "nats": {"address": "nats://a:4333,tls://b:4444", "monitorAddress": "a:8222"},
        "traces": {"endpoint": "http://collector:4555"},
        "ray": {"address": "ray://head:10002"},
        "network": {"peers": peers},
    }

    manifests = render(merged(profile("ha"), added))

    reached = {
        port for source, _, port in allowed(manifests, "egress") if source == "data-prep-work"
    }
    assert reached == {53, 4333, 4444, 4555, 10002, 50051}


@pytest.mark.parametrize(
    "pair",
    [(("mill", "one"), ("mill", "two")), (("mill-a", "b"), ("mill", "a-b"))],
    ids=["one name", "names that end as others begin"],
)
def test_releases_of_two_namespaces_have_no_object_in_common(
    pair: tuple[tuple[str, str], tuple[str, str]],
) -> None:
    first, second = (
        {
            (each["kind"], name_of(each))
            for each in render(profile("ha"), release=release, namespace=namespace)
            if "namespace" not in each["metadata"]
        }
        for release, namespace in pair
    )

    assert first
    assert first & second == set()
