"""What an operator may get wrong is refused before anything starts, with the cause and a remedy."""

import pytest
from helm_python import HelmError

from tests.helm.rendering import Values, given, merged, profile, render


def _component(name: str, **values: object) -> Values:
    return {"components": {name: values}}


def _bucket(endpoint: str) -> Values:
    peers = {"bucket": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    s3 = {"url": "s3://bucket", "endpoint": endpoint}
    return {"artifacts": {"kind": "s3", "s3": s3}, "network": {"peers": peers}}


REFUSED: tuple[tuple[str, Values, str], ...] = (
    ("misspelt value", {"gatway": {}}, "gatway"),
    ("misspelt value of a component", {"components": {"gateway": {"replica": 2}}}, "replica"),
    ("unknown component", {"components": {"trainers": {}}}, "trainers"),
    ("text for a number", {"components": {"gateway": {"replicas": "2"}}}, "replicas"),
    ("two brokers", {"nats": {"replicas": 2}}, "replicas"),
    ("latest", {"images": {"tag": "latest"}}, "tag"),
    ("no digest", {"images": {"digests": {"gateway": "sha256:12"}}}, "gateway"),
    ("no shared secret", {"secrets": {"shared": ""}}, "secrets.shared is empty. Name the Secret"),
    ("no secret of the bus", {"secrets": {"bus": ""}}, "secrets.bus is empty. Name the Secret"),
    ("no certificates", {"secrets": {"tlsPrefix": ""}}, "secrets.tlsPrefix is empty"),
    ("no issuer", {"tls": {"mode": "cert-manager"}}, "tls.issuer.name is empty"),
    ("no issuer of tokens", {"gateway": {"jwtIssuer": ""}}, "gateway.jwtIssuer is empty. Give"),
    (
        "keys out of reach",
        {"gateway": {"jwksUrl": "https://issuer/keys"}},
        "network.gatewayReachesInternet is false. Allow it",
    ),
    (
        "a storage class without shared access",
        {"components": {"inference": {"replicas": 2}}},
        "components.inference may have 2 replicas. Use a storage class with ReadWriteMany",
    ),
    (
        "the same by an autoscaler",
        {"components": {"inference": {"scaling": {"kind": "cpu", "max": 3}}}},
        "components.inference may have 3 replicas. Use a storage class with ReadWriteMany",
    ),
    (
        "an autoscaler without metrics",
        {"components": {"inference": {"scaling": {"kind": "prometheus", "max": 1}}}},
        "monitoring.prometheusAddress is empty. Give the address",
    ),
    (
        "an autoscaler of what nobody scrapes",
        {
            "monitoring": {"prometheusAddress": "http://p:9090"},
            "components": {"inference": {"scaling": {"kind": "prometheus", "max": 1}}},
        },
        "monitoring.enabled is false. Enable it",
    ),
    (
        "alerts on what nobody scrapes",
        {"monitoring": {"rules": {"enabled": True}}},
        "monitoring.rules.enabled is true, but monitoring.enabled is false. Enable it",
    ),
    (
        "alerts of no Prometheus",
        {"monitoring": {"enabled": True, "gatewayAsks": True}},
        "monitoring.gatewayAsks is true, but monitoring.prometheusAddress is empty. Give the",
    ),
    (
        "alerts about what nobody scrapes",
        {"monitoring": {"gatewayAsks": True, "prometheusAddress": "http://p:9090"}},
        "monitoring.gatewayAsks is true, but monitoring.enabled is false. Enable it",
    ),
    ("a Prometheus that is asked perhaps", {"monitoring": {"gatewayAsks": "yes"}}, "gatewayAsks"),
    (
        "dashboards of what nobody scrapes",
        {"monitoring": {"dashboards": {"enabled": True}}},
        "monitoring.dashboards.enabled is true, but monitoring.enabled is false. Enable it",
    ),
    (
        "lag of brokers that nobody can ask",
        {
            "nats": {"address": "nats://bus:4222"},
            "network": {"peers": {"natsOutside": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
            "components": {"trainer-work": {"scaling": {"kind": "lag", "max": 1}}},
        },
        "nats.monitorAddress is empty. Give host:port",
    ),
    (
        "lag of who takes no jobs",
        {"components": {"inference": {"scaling": {"kind": "lag", "max": 1}}}},
        "it takes no jobs. Set it to cpu or prometheus",
    ),
    (
        "nobody to answer",
        {"components": {"gateway": {"scaling": {"kind": "cpu", "min": 0, "max": 1}}}},
        "nobody would answer. Set it to 1 or more",
    ),
    (
        "min above max",
        {
            "artifacts": {"volume": {"accessMode": "ReadWriteMany"}},
            "components": {"gateway": {"scaling": {"kind": "cpu", "min": 5, "max": 4}}},
        },
        "scaling.min is 5, above max, 4. Give a smaller min",
    ),
    (
        "two that take uploads",
        {
            "artifacts": {"volume": {"accessMode": "ReadWriteMany"}},
            "components": {"data-prep": {"replicas": 2}},
        },
        "parts of an upload lie on the replica that took them. Set it to 1",
    ),
    (
        "a broker outside, nobody knows where",
        {"nats": {"address": "nats://bus:4222"}},
        "network.peers.natsOutside is empty",
    ),
    (
        "clients that are nowhere",
        {"network": {"peers": {"clients": []}}},
        "network.peers.clients is empty, but files/edges.yaml lets gateway talk with it on port "
        "8080. Say where it is",
    ),
    (
        "a peer that says nothing, which would be everybody",
        {"network": {"peers": {"clients": [{}]}}},
        "clients",
    ),
    ("a bucket without name", {"artifacts": {"kind": "s3"}}, "artifacts.s3.url is empty"),
    ("ranks on one node", {"trainJob": {"enabled": True}}, "Ranks run on several nodes"),
    ("vllm without a model", {"vllm": {"enabled": True}}, "vllm.model is empty"),
    ("vllm without a tag", {"vllm": {"tag": ""}}, "tag"),
    ("a repository that is none", {"images": {"repository": "registry:/"}}, "repository"),
    (
        "a threshold of nothing",
        _component("moderation", scaling={"targets": {"inFlight": "0"}}),
        "inFlight",
    ),
    ("half a job", _component("trainer-work", scaling={"targets": {"lag": "0.5"}}), "lag"),
    ("a collector without a port", {"traces": {"endpoint": "http://collector"}}, "endpoint"),
    (
        "a toleration of any value that names one",
        {"nats": {"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]}},
        "tolerations",
    ),
    (
        "seconds of a toleration that nobody counts",
        {"nats": {"tolerations": [{"key": "k", "tolerationSeconds": 5, "effect": "NoSchedule"}]}},
        "tolerations",
    ),
    (
        "more memory asked for than allowed",
        _component(
            "gateway", resources={"requests": {"memory": "2049Mi"}, "limits": {"memory": "2Gi"}}
        ),
        "components.gateway.resources: requests.memory is 2049Mi, above limits.memory, 2Gi. Raise",
    ),
    (
        "more processor time asked for than allowed",
        {"nats": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}},
        "nats.resources: requests.cpu is 2, above limits.cpu, 1500m. Raise",
    ),
    (
        "streams larger than their volume",
        {"nats": {"maxFileStore": "11GB"}},
        "nats.maxFileStore is 11GB, more than nats.storage, 10Gi. Raise nats.storage",
    ),
    (
        "certificates renewed before they are made",
        {"tls": {"mode": "cert-manager", "issuer": {"name": "i"}, "renewBefore": "2160h"}},
        "tls.renewBefore is 2160h, but certificates last 2160h (tls.duration). Give a shorter",
    ),
    (
        "keys at a port that is not let out",
        {
            "gateway": {"jwksUrl": "https://i:8443/keys"},
            "network": {"gatewayReachesInternet": True},
        },
        "gateway.jwksUrl has port 8443, but the NetworkPolicy lets the gateway reach issuers on",
    ),
    (
        "a bucket at a port that is not let out",
        _bucket("http://minio:9000/x"),
        "artifacts.s3.endpoint has port 9000, but artifacts.s3.port is 443. Make them equal",
    ),
    (
        "the same by the scheme",
        _bucket("http://minio"),
        "artifacts.s3.endpoint has port 80, but artifacts.s3.port is 443. Make them equal",
    ),
    (
        "a drain that the grace period does not follow",
        _component("gateway", settings={"DRAIN_SECONDS": "600"}),
        "components.gateway.settings.DRAIN_SECONDS is set, but the pod's grace period follows "
        "components.gateway.drainSeconds. Set that instead",
    ),
    (
        "an engine on several nodes without shared access",
        {"triton": {"enabled": True, "replicas": 2}},
        "artifacts.volume.accessMode is ReadWriteOnce, but triton.replicas is 2. Use a storage",
    ),
)


@pytest.mark.parametrize(
    ("values", "said"), [pytest.param(values, said, id=what) for what, values, said in REFUSED]
)
def test_bad_values_are_refused_by_name(values: Values, said: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(merged(profile("single"), values))

    assert said in str(refused.value)


def test_digests_can_be_demanded() -> None:
    values = merged(given(), {"images": {"requireDigests": True}})
    del values["images"]["digests"]["nats"]

    with pytest.raises(HelmError) as refused:
        render(values)

    assert "images.digests.nats is empty" in str(refused.value)


def test_a_release_name_that_makes_names_too_long_is_refused() -> None:
    with pytest.raises(HelmError) as refused:
        render(profile("single"), release="m" * 31)

    assert "has 31 characters. Use at most 30" in str(refused.value)
    assert render(profile("single"), release="m" * 30)


@pytest.mark.parametrize("name", ["2", "mill.a"])
def test_a_release_name_that_no_service_may_have_is_refused(name: str) -> None:
    with pytest.raises(HelmError) as refused:
        render(profile("single"), release=name)

    said = f'the release name "{name}" cannot begin names of Services. Choose one of small letters'
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["single", "ha", "gpu"])
def test_two_releases_in_a_namespace_have_no_object_in_common(name: str) -> None:
    first, second = (
        {
            (each["apiVersion"], each["kind"], each["metadata"]["name"])
            for each in render(profile(name), release=release)
        }
        for release in ("one", "two")
    )

    assert first & second == set()
