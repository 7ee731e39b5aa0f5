"""Profiles, and value sets over the schema, render to what Kubernetes and the rules allow."""

import pytest
from helm_python import lint
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helm.problems import problems
from tests.helm.rendering import (
    CHART,
    NAMESPACE,
    PROFILES,
    Values,
    merged,
    profile,
    render,
    render_text,
)
from tests.helm.value_sets import value_sets

EXAMPLES = 24
"""`tests.helm.keep` tries 200 upon each profile."""
OPTIONAL = (
    *({"vllm": {"enabled": True, "model": "m"}}, {"nats": {"replicas": 5}}, {"logLevel": "DEBUG"}),
    {"artifacts": {"kind": "s3", "s3": {"url": "s3://b/p"}}, "triton": {"enabled": False},
     "network": {"peers": {"bucket": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}}},
    {"trainJob": {"enabled": True},
     "network": {"peers": {"apiServer": [{"ipBlock": {"cidr": "10.3.0.1/32"}}]}}},
    {"nats": {"address": "nats://bus:4222", "monitorAddress": "bus:8222"},
     "network": {"peers": {"natsOutside": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}}},
    {"ray": {"address": "ray://head:10001"},
     "network": {"peers": {"ray": [{"namespaceSelector": {}}]}}},
    {"traces": {"endpoint": "http://collector:4317"}},
    {"gateway": {"jwksUrl": "https://issuer/keys", "tlsSecret": "public"},
     "network": {"gatewayReachesInternet": True}},
    {"components": {"gateway": {"scaling": {"kind": "custom"}}}},
    {"components": {"gateway": {"scaling": {"kind": "cpu"}}}},
)  # fmt: skip
"""What `gpu`, which is laid upon `ha`, may be joined with."""


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_renders_to_what_schemas_and_rules_allow(name: str) -> None:
    assert problems(profile(name)) == []


@pytest.mark.parametrize("added", OPTIONAL, ids=lambda each: "-".join(each))
def test_each_option_renders_to_what_schemas_and_rules_allow(added: Values) -> None:
    assert problems(merged(profile("gpu"), added)) == []


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    # Problems name object and field, and a smaller set would take minutes to find.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(values=st.sampled_from([*PROFILES]).flatmap(lambda name: value_sets(profile(name))))
def test_generated_values_render_to_what_schemas_and_rules_allow(values: Values) -> None:
    assert problems(values) == []


@pytest.mark.parametrize("name", PROFILES)
def test_two_renderings_are_the_same_bytes(name: str) -> None:
    assert render_text(profile(name)) == render_text(profile(name))


def test_nothing_but_the_engines_changes_names_of_an_upgrade() -> None:
    # A Job cannot be changed: another image is another Job, and the same image is the same one.
    first, second = (
        {(each["kind"], each["metadata"]["name"]) for each in render(merged(profile("ha"), added))}
        for added in ({}, {"images": {"digests": {"data-prep": f"sha256:{'1e' * 32}"}}})
    )

    assert {kind for kind, _ in first ^ second} == {"Job"}


@pytest.mark.parametrize("name", PROFILES)
def test_lint_finds_nothing(name: str) -> None:
    report = lint(CHART, profile(name), strict=True, namespace=NAMESPACE, quiet=True)

    assert [each for each in report["messages"] if each["severity"] > 1] == []
