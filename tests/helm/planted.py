"""Violations that are planted into a good rendering: each must be seen by the rule it names."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.helm.objects import name_of, of_kind
from tests.helm.rendering import Manifest

Plant = Callable[[list[Manifest]], None]


def workload(manifests: Sequence[Manifest], component: str = "gateway") -> Manifest:
    """The Deployment or StatefulSet of a component."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] in ("Deployment", "StatefulSet")
        and each["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    return found


def pod(manifests: Sequence[Manifest], component: str = "gateway") -> Any:
    """The pod of its template."""
    return workload(manifests, component)["spec"]["template"]["spec"]


def container(manifests: Sequence[Manifest], component: str = "gateway") -> Any:
    """Its only container."""
    return pod(manifests, component)["containers"][0]


def named(manifests: Sequence[Manifest], kind: str, end: str) -> Any:
    """The object of a kind whose name ends so."""
    (found,) = (each for each in of_kind(manifests, kind) if name_of(each).endswith(end))
    return found


def _remove(manifests: list[Manifest], kind: str, end: str) -> None:
    manifests.remove(named(manifests, kind, end))


def _rule(manifests: list[Manifest], end: str, direction: str) -> list[Any]:
    rules: list[Any] = named(manifests, "NetworkPolicy", end)["spec"][direction]
    return rules


def _variable(manifests: list[Manifest], name: str, component: str = "gateway") -> Any:
    (found,) = (each for each in container(manifests, component)["env"] if each["name"] == name)
    return found


def _peer(component: str) -> Any:
    return {
        "podSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "modelmill",
                "app.kubernetes.io/instance": "mill",
                "app.kubernetes.io/component": component,
            }
        }
    }


def _unlisted_call(manifests: list[Manifest]) -> None:
    _rule(manifests, "-trainer", "ingress")[0]["from"].append(_peer("moderation"))
    out = {"to": [_peer("trainer")], "ports": [{"port": 50051, "protocol": "TCP"}]}
    _rule(manifests, "-moderation", "egress").append(out)


def _everybody(manifests: list[Manifest]) -> None:
    ports = [{"port": 50051, "protocol": "TCP"}]
    _rule(manifests, "-trainer", "ingress").append({"from": [{"podSelector": {}}], "ports": ports})
    _rule(manifests, "-moderation", "egress").append({"to": [{"podSelector": {}}], "ports": ports})


def _trigger(manifests: list[Manifest]) -> Any:
    return named(manifests, "ScaledObject", "-inference")["spec"]["triggers"][0]


PLANTED: Sequence[tuple[str, str, Plant]] = (
    ("every_pod_has_a_network_policy", "no default deny",
     lambda m: _remove(m, "NetworkPolicy", "-default-deny")),
    ("every_pod_has_a_network_policy", "no policy of the trainer",
     lambda m: _remove(m, "NetworkPolicy", "-trainer")),
    ("every_pod_has_a_network_policy", "egress not denied",
     lambda m: named(m, "NetworkPolicy", "-default-deny")["spec"].update(policyTypes=["Ingress"])),
    ("every_server_has_probes", "no readiness",
     lambda m: container(m).pop("readinessProbe")),
    ("every_server_has_probes", "no liveness of the broker",
     lambda m: container(m, "nats").pop("livenessProbe")),
    ("every_container_has_requests_and_limits", "no memory limit",
     lambda m: container(m)["resources"]["limits"].pop("memory")),
    ("every_container_has_requests_and_limits", "no requests",
     lambda m: container(m)["resources"].pop("requests")),
    ("pod_security_is_restricted", "root",
     lambda m: pod(m)["securityContext"].update(runAsNonRoot=False)),
    ("pod_security_is_restricted", "no seccomp",
     lambda m: pod(m)["securityContext"].pop("seccompProfile")),
    ("pod_security_is_restricted", "privileges",
     lambda m: container(m)["securityContext"].update(allowPrivilegeEscalation=True)),
    ("pod_security_is_restricted", "capabilities",
     lambda m: container(m)["securityContext"].update(capabilities={"add": ["NET_ADMIN"]})),
    ("pod_security_is_restricted", "writable root",
     lambda m: container(m)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("pod_security_is_restricted", "host network", lambda m: pod(m).update(hostNetwork=True)),
    ("pod_security_is_restricted", "host path",
     lambda m: pod(m)["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    ("no_pod_has_a_service_account_token", "token mounted",
     lambda m: pod(m).update(automountServiceAccountToken=True)),
    ("no_pod_has_a_service_account_token", "token projected",
     lambda m: pod(m)["volumes"].append(
         {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}})),
    ("no_pod_has_a_service_account_token", "token of the pod of `helm test`",
     lambda m: named(m, "Pod", "-doctor")["spec"].pop("automountServiceAccountToken")),
    ("pod_security_is_restricted", "root of the pod of `helm test`",
     lambda m: named(m, "Pod", "-doctor")["spec"]["securityContext"].update(runAsNonRoot=False)),
    ("every_pod_has_a_network_policy", "no policy of the pod of `helm test`",
     lambda m: _remove(m, "NetworkPolicy", "-doctor")),
    ("every_container_has_requests_and_limits", "no limit of the pod of `helm test`",
     lambda m: named(m, "Pod", "-doctor")["spec"]["containers"][0]["resources"].pop("limits")),
    ("traffic_is_that_of_the_table", "the pod of `helm test` reaches engines",
     lambda m: _rule(m, "-doctor", "egress").append(
         {"to": [_peer("triton")], "ports": [{"port": 8001, "protocol": "TCP"}]})),
    ("secrets_are_files", "secret in the environment",
     lambda m: container(m)["env"].append(
         {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
    ("secrets_are_files", "all of a secret in the environment",
     lambda m: container(m).update(envFrom=[{"secretRef": {"name": "s"}}])),
    ("files_that_settings_name_are_mounted", "another file",
     lambda m: _variable(m, "GATEWAY_SERVICE_SECRET_FILE").update(
         value="/etc/modelmill/secrets/other")),
    ("files_that_settings_name_are_mounted", "no volume",
     lambda m: container(m)["volumeMounts"].append({"name": "gone", "mountPath": "/x"})),
    ("what_is_written_is_no_root", "no /tmp",
     lambda m: container(m)["volumeMounts"].pop(0)),
    ("what_is_written_is_no_root", "scratch without limit",
     lambda m: pod(m)["volumes"][0]["emptyDir"].pop("sizeLimit")),
    ("images_are_pinned", "latest",
     lambda m: container(m).update(image="modelmill/gateway:latest")),
    ("images_are_pinned", "no tag", lambda m: container(m).update(image="reg:5000/gateway")),
    ("selectors_match_labels", "workload",
     lambda m: workload(m)["spec"]["selector"]["matchLabels"].update(x="y")),
    ("selectors_match_labels", "service of nobody",
     lambda m: named(m, "Service", "-trainer")["spec"]["selector"].update(x="y")),
    ("selectors_match_labels", "service of all",
     lambda m: named(m, "Service", "-trainer")["spec"]["selector"].pop(
         "app.kubernetes.io/component")),
    ("selectors_match_labels", "autoscaler of nobody",
     lambda m: named(m, "ScaledObject", "-inference")["spec"]["scaleTargetRef"].update(name="x")),
    ("selectors_match_labels", "monitor of nobody",
     lambda m: named(m, "ServiceMonitor", "-modelmill")["spec"]["selector"][
         "matchLabels"].update(x="y")),
    ("services_lead_to_ports_that_are_open", "service",
     lambda m: named(m, "Service", "-trainer")["spec"]["ports"][0].update(targetPort="x")),
    ("services_lead_to_ports_that_are_open", "probe",
     lambda m: container(m)["livenessProbe"]["tcpSocket"].update(port=1)),
    ("grace_is_above_drain", "short grace",
     lambda m: pod(m).update(terminationGracePeriodSeconds=30)),
    ("a_trainer_has_time_to_save", "short grace",
     lambda m: pod(m, "trainer-work").update(terminationGracePeriodSeconds=60)),
    ("budgets_permit_a_drain", "nobody may go",
     lambda m: named(m, "PodDisruptionBudget", "-gateway")["spec"].update(maxUnavailable=0)),
    ("budgets_permit_a_drain", "none", lambda m: _remove(m, "PodDisruptionBudget", "-nats")),
    ("rollouts_can_go_on", "neither more nor less",
     lambda m: workload(m)["spec"]["strategy"]["rollingUpdate"].update(maxSurge=0)),
    ("pods_are_spread", "not over zones",
     lambda m: pod(m)["topologySpreadConstraints"].pop()),
    ("pods_are_spread", "by another's labels",
     lambda m: pod(m)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update(
         x="y")),
    ("priority_classes_exist", "no such class", lambda m: pod(m).update(priorityClassName="x")),
    ("priority_classes_exist", "none", lambda m: pod(m).pop("priorityClassName")),
    ("a_missing_metric_scales_nothing", "KEDA's default",
     lambda m: _trigger(m)["metadata"].pop("ignoreNullValues")),
    ("a_missing_metric_scales_nothing", "fallback",
     lambda m: named(m, "ScaledObject", "-inference")["spec"].update(fallback={"replicas": 3})),
    ("alerts_are_of_the_release_alone", "one without labels",
     lambda m: named(m, "PrometheusRule", "-modelmill")["spec"]["groups"][0]["rules"][0].update(
         expr="up == 0")),
    ("only_workers_go_down_to_zero", "inference",
     lambda m: named(m, "ScaledObject", "-inference")["spec"].update(minReplicaCount=0)),
    ("only_workers_go_down_to_zero", "replicas twice",
     lambda m: workload(m, "inference")["spec"].update(replicas=2)),
    ("names_are_of_the_release", "fixed name",
     lambda m: workload(m)["metadata"].update(name="gateway")),
    ("names_are_of_the_release", "twice",
     lambda m: m.append(named(m, "Service", "-trainer"))),
    ("names_are_of_the_release", "no namespace",
     lambda m: workload(m)["metadata"].pop("namespace")),
    ("traffic_is_that_of_the_table", "ingress alone",
     lambda m: _rule(m, "-trainer", "ingress")[0]["from"].append(_peer("moderation"))),
    ("traffic_is_that_of_the_table", "both sides, in no row",
     _unlisted_call),
    ("traffic_is_that_of_the_table", "both sides, by all pods of the namespace", _everybody),
    ("traffic_is_that_of_the_table", "to everybody",
     lambda m: _rule(m, "-trainer", "egress").append({"ports": [{"port": 443}]})),
)  # fmt: skip
"""Policy, what is wrong, and how it is made so."""
