"""What must hold of every rendering, whatever the values: rules by name, each giving violations."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from modelmill_service_kit.settings import BEYOND_DRAIN_SECONDS

from tests.helm.objects import (
    ENDING,
    Pods,
    containers,
    labels_of,
    matches,
    name_of,
    of_kind,
    pods,
    selector_of,
)
from tests.helm.rendering import Manifest
from tests.helm.traffic import traffic_errors

Manifests = Sequence[Manifest]
Policy = Callable[[Manifests], Iterator[str]]

POLICIES: dict[str, Policy] = {}
CLUSTER_WIDE = {"PriorityClass"}
HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")
DRAIN_SUFFIX, NOTICE_SUFFIX = "_DRAIN_SECONDS", "_DRAIN_NOTICE_SECONDS"
SERIES = re.compile(r"\b(?:modelmill[_:]|gen_ai_server_|process_|up\b)[\w:]*+(?!<)")
SAVE_SECONDS = 240
"""The longest save of a training that the default values of trainer-work provide for."""


def policy(rule: Policy) -> Policy:
    """Enter a rule under the name of its function."""
    POLICIES[rule.__name__] = rule
    return rule


@policy
def every_pod_has_a_network_policy(manifests: Manifests) -> Iterator[str]:
    """Of its own, beside one that denies all of the release in both directions."""
    found = of_kind(manifests, "NetworkPolicy")
    deny = [each for each in found if not {"ingress", "egress"} & set(each["spec"])]
    for pod in pods(manifests):
        chosen = [each for each in found if matches(selector_of(each), pod.labels)]
        both = {"Ingress", "Egress"}
        if not any(each in deny and set(each["spec"]["policyTypes"]) == both for each in chosen):
            yield f"{pod.name}: nothing is denied"
        if not any(each not in deny for each in chosen):
            yield f"{pod.name}: no policy of its own"


@policy
def every_server_has_probes(manifests: Manifests) -> Iterator[str]:
    """Of start, life and readiness; who only ends has none."""
    for pod in pods(manifests):
        if pod.kind in ENDING:
            continue
        for container in containers(pod):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{pod.name}: no {probe}"


@policy
def every_container_has_requests_and_limits(manifests: Manifests) -> Iterator[str]:
    """Processor time and memory asked for, memory limited."""
    for pod in pods(manifests):
        for container in containers(pod):
            given = container.get("resources", {})
            for part, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if not given.get(part, {}).get(what):
                    yield f"{pod.name}: no {part}.{what}"


@policy
def pod_security_is_restricted(manifests: Manifests) -> Iterator[str]:
    """The standard `restricted`, and a read-only root on top."""
    for pod in pods(manifests):
        security = pod.spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{pod.name}: may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.name}: no seccomp profile"
        yield from (f"{pod.name}: {field}" for field in HOST_FIELDS if pod.spec.get(field))
        yield from (
            f"{pod.name}: hostPath {volume['name']}"
            for volume in pod.spec.get("volumes", ())
            if "hostPath" in volume
        )
        for container in containers(pod):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{pod.name}: may gain privileges"
            if own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{pod.name}: has capabilities"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{pod.name}: writes to its root"


@policy
def no_pod_has_a_service_account_token(manifests: Manifests) -> Iterator[str]:
    """But for one that asks for it by name, and whose role is in the release."""
    allowed = {name_of(role) for role in of_kind(manifests, "Role")}
    for pod in pods(manifests):
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: a token is mounted"
        projected = [
            source
            for volume in pod.spec.get("volumes", ())
            for source in volume.get("projected", {}).get("sources", ())
            if "serviceAccountToken" in source
        ]
        if projected and pod.spec["serviceAccountName"] not in allowed:
            yield f"{pod.name}: projects a token without a role of its own"


@policy
def secrets_are_files(manifests: Manifests) -> Iterator[str]:
    """A process's environment can be read by whoever may look at the process."""
    for pod in pods(manifests):
        for container in containers(pod):
            if container.get("envFrom"):
                yield f"{pod.name}: envFrom"
            for variable in container.get("env", ()):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    yield f"{pod.name}: {variable['name']} is a secret"


@policy
def files_that_settings_name_are_mounted(manifests: Manifests) -> Iterator[str]:
    """What the environment names below /etc/modelmill is there, from a volume that there is."""
    for pod in pods(manifests):
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", ())}
        volumes |= {name: {} for name in pod.claims}
        for container in containers(pod):
            there = {}
            for mount in container.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield f"{pod.name}: no volume {mount['name']}"
                    continue
                there[mount["mountPath"]] = volumes[mount["name"]]
            for variable in container.get("env", ()):
                folder, _, file = variable.get("value", "").rpartition("/")
                if folder.startswith("/etc/modelmill") and not _holds(there.get(folder), file):
                    yield f"{pod.name}: {variable['name']} names {folder}/{file}"


def _holds(volume: Any, file: str) -> bool:
    if volume is None:
        return False
    items = volume.get("secret", {}).get("items")
    if items is None:
        return "secret" in volume and file in ("tls.crt", "tls.key", "ca.crt")
    return any(item["path"] == file for item in items)


@policy
def what_is_written_is_no_root(manifests: Manifests) -> Iterator[str]:
    """Each container has a /tmp of its own, of limited size."""
    for pod in pods(manifests):
        sizes = {
            volume["name"]: volume["emptyDir"].get("sizeLimit")
            for volume in pod.spec.get("volumes", ())
            if "emptyDir" in volume
        }
        yield from (f"{pod.name}: {name} has no limit" for name, size in sizes.items() if not size)
        for container in containers(pod):
            mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
            if mounts.get("/tmp") not in sizes:
                yield f"{pod.name}: no /tmp"


@policy
def images_are_pinned(manifests: Manifests) -> Iterator[str]:
    """By a digest, or a tag other than `latest`."""
    for pod in pods(manifests):
        for container in containers(pod):
            image = container["image"]
            _, colon, tag = image.rpartition("/")[2].partition(":")
            if "@sha256:" not in image and (not colon or tag in ("", "latest")):
                yield f"{pod.name}: {image}"


@policy
def selectors_match_labels(manifests: Manifests) -> Iterator[str]:
    """Of workloads their own pods; of all others at least one, and a component's no other's."""
    every = list(pods(manifests))
    for each in (*of_kind(manifests, "Deployment"), *of_kind(manifests, "StatefulSet")):
        if not matches(selector_of(each), labels_of(each["spec"]["template"])):
            yield f"{name_of(each)}: selects not its own pods"
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for each in of_kind(manifests, kind):
            chosen = [pod for pod in every if matches(selector_of(each), pod.labels)]
            if not chosen:
                yield f"{kind} {name_of(each)}: selects nobody"
            elif len(chosen) > 1 and not name_of(each).endswith("-default-deny"):
                yield f"{kind} {name_of(each)}: selects {len(chosen)} workloads"
    yield from _targets(manifests)


def _targets(manifests: Manifests) -> Iterator[str]:
    known = {(each["kind"], name_of(each)) for each in manifests}
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for each in of_kind(manifests, kind):
            target = each["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) not in known:
                yield f"{name_of(each)}: scales nobody"
    for each in of_kind(manifests, "ServiceMonitor"):
        selector = each["spec"]["selector"]
        services = [one for one in of_kind(manifests, "Service") if _monitored(selector, one)]
        if not services:
            yield f"{name_of(each)}: watches nobody"


def _monitored(selector: Manifest, service: Manifest) -> bool:
    labels = labels_of(service)
    keys = {each["key"] for each in selector.get("matchExpressions", ())}
    return matches(selector["matchLabels"], labels) and keys <= set(labels)


@policy
def services_lead_to_ports_that_are_open(manifests: Manifests) -> Iterator[str]:
    """A Service's target and a probe's port are ports of the container."""
    every = list(pods(manifests))
    for service in of_kind(manifests, "Service"):
        for pod in every:
            if not matches(selector_of(service), pod.labels):
                continue
            names = {port["name"] for one in containers(pod) for port in one.get("ports", ())}
            for port in service["spec"]["ports"]:
                if port["targetPort"] not in names:
                    yield f"{name_of(service)}: {pod.name} has no port {port['targetPort']}"
    for pod in every:
        for container in containers(pod):
            open_ports = {
                each[key]
                for each in container.get("ports", ())
                for key in ("name", "containerPort")
            }
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {})
                target = asked.get("tcpSocket", asked.get("httpGet", {})).get("port")
                if target is not None and target not in open_ports:
                    yield f"{pod.name}: {probe} asks port {target}"


@policy
def grace_is_above_drain(manifests: Manifests) -> Iterator[str]:
    """The notice, the drain and what a service takes beyond it."""
    for pod in pods(manifests):
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        for container in containers(pod):
            values = {each["name"]: each.get("value", "") for each in container.get("env", ())}
            for drain in (int(v) for k, v in values.items() if k.endswith(DRAIN_SUFFIX)):
                notice = sum(int(v) for k, v in values.items() if k.endswith(NOTICE_SUFFIX))
                needed = drain + notice + BEYOND_DRAIN_SECONDS
                if grace <= needed:
                    yield f"{pod.name}: {grace} s of grace, and its end may take {needed:g} s"


@policy
def a_trainer_has_time_to_save(manifests: Manifests) -> Iterator[str]:
    """Also on a machine that is taken away: its grace is above the longest save."""
    for pod in pods(manifests):
        if pod.labels["app.kubernetes.io/component"] == "trainer-work":
            grace = pod.spec.get("terminationGracePeriodSeconds", 30)
            if grace <= SAVE_SECONDS:
                yield f"{pod.name}: {grace} s for a save of {SAVE_SECONDS} s"


@policy
def budgets_permit_a_drain(manifests: Manifests) -> Iterator[str]:
    """Exactly one for each workload, which lets at least one pod go."""
    budgets = of_kind(manifests, "PodDisruptionBudget")
    for pod in pods(manifests):
        if pod.kind in ENDING:
            continue
        own = [each for each in budgets if matches(selector_of(each), pod.labels)]
        if len(own) != 1:
            yield f"{pod.name}: {len(own)} budgets"
        for each in own:
            if "minAvailable" in each["spec"] or each["spec"].get("maxUnavailable") in (0, "0%"):
                yield f"{name_of(each)}: may let nobody go"


@policy
def rollouts_can_go_on(manifests: Manifests) -> Iterator[str]:
    """Room for one more, or one less."""
    for each in of_kind(manifests, "Deployment"):
        update = each["spec"].get("strategy", {}).get("rollingUpdate", {})
        if update.get("maxSurge") == 0 and update.get("maxUnavailable") == 0:
            yield f"{name_of(each)}: neither one more nor one less"


@policy
def pods_are_spread(manifests: Manifests) -> Iterator[str]:
    """Over hosts and zones, by the selector of the pod itself."""
    for pod in pods(manifests):
        found = pod.spec.get("topologySpreadConstraints", ())
        keys = {
            each["topologyKey"]
            for each in found
            if matches(each["labelSelector"]["matchLabels"], pod.labels)
        }
        if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= keys:
            yield f"{pod.name}: spread over {sorted(keys)}"


@policy
def priority_classes_exist(manifests: Manifests) -> Iterator[str]:
    """What serves comes before what works."""
    classes = {name_of(each): each["value"] for each in of_kind(manifests, "PriorityClass")}
    named = {pod.name: pod.spec.get("priorityClassName") for pod in pods(manifests)}
    yield from (
        f"{pod}: no class {name}" for pod, name in named.items() if name not in {*classes, None}
    )
    yield from (f"{pod}: no priority" for pod, name in named.items() if classes and not name)


@policy
def a_missing_metric_scales_nothing(manifests: Manifests) -> Iterator[str]:
    """KEDA's default takes an empty answer for 0; and a fallback would scale."""
    for each in of_kind(manifests, "ScaledObject"):
        if "fallback" in each["spec"]:
            yield f"{name_of(each)}: scales without metrics"
        for trigger in each["spec"]["triggers"]:
            metadata = trigger["metadata"]
            if trigger["type"] == "prometheus" and metadata.get("ignoreNullValues") != "false":
                yield f"{name_of(each)}: takes an empty answer for 0"


@policy
def alerts_are_of_the_release_alone(manifests: Manifests) -> Iterator[str]:
    """A cluster's Prometheus has series of others, and `up == 0` would be about all of them."""
    for each in of_kind(manifests, "PrometheusRule"):
        release = labels_of(each)["app.kubernetes.io/instance"]
        namespace = each["metadata"]["namespace"]
        own = f'{{namespace="{namespace}",app_kubernetes_io_instance="{release}"'
        for group in each["spec"]["groups"]:
            for rule in group["rules"]:
                bare = SERIES.findall(rule["expr"].replace(own, "<"))
                yield from (f"{name_of(each)}: {name} of any release" for name in bare)


@policy
def only_workers_go_down_to_zero(manifests: Manifests) -> Iterator[str]:
    """Who answers calls is there; and replicas are the autoscaler's alone."""
    scaled = {}
    for kind, field in (
        ("HorizontalPodAutoscaler", "minReplicas"),
        ("ScaledObject", "minReplicaCount"),
    ):
        for each in of_kind(manifests, kind):
            scaled[each["spec"]["scaleTargetRef"]["name"]] = each["spec"][field]
            by_lag = {one.get("type") for one in each["spec"].get("triggers", ())} == {
                "nats-jetstream"
            }
            if each["spec"][field] < 1 and not by_lag:
                yield f"{name_of(each)}: nobody would answer"
    for each in of_kind(manifests, "Deployment"):
        if name_of(each) in scaled and "replicas" in each["spec"]:
            yield f"{name_of(each)}: replicas of the chart and of the autoscaler"


@policy
def names_are_of_the_release(manifests: Manifests) -> Iterator[str]:
    """So that two releases in a namespace do not meet; and no name comes twice."""
    seen = sorted((each["kind"], name_of(each)) for each in manifests)
    yield from (f"{one} comes twice" for one, other in pairwise(seen) if one == other)
    for each in manifests:
        release = labels_of(each).get("app.kubernetes.io/instance")
        if not release or not name_of(each).startswith(f"{release}-"):
            yield f"{each['kind']} {name_of(each)}: not of release {release}"
        if each["kind"] not in CLUSTER_WIDE and "namespace" not in each["metadata"]:
            yield f"{each['kind']} {name_of(each)}: no namespace"


@policy
def traffic_is_that_of_the_table(manifests: Manifests) -> Iterator[str]:
    """Both ends of an edge allow it, and nothing else is allowed."""
    yield from traffic_errors(manifests)


def violations(manifests: Manifests) -> list[str]:
    """Of all rules."""
    return [
        f"{name}: {found}" for name, rule in POLICIES.items() for found in sorted(rule(manifests))
    ]


__all__ = ["POLICIES", "Pods", "violations"]
