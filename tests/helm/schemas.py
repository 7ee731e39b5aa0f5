"""Strict schemas: of Kubernetes, and of the custom resources by the models of their projects."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jsonschema
import referencing
from cloudcoil.models.cert_manager.v1 import Certificate
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from kubernetes_validate.utils import schema_contents
from pydantic import BaseModel, ValidationError

from tests.helm.rendering import Manifest

VERSION = "1.37.0"
FOLDER = f"kubernetes-json-schema/v{VERSION}-local-strict"
CUSTOM: Mapping[tuple[str, str], type[BaseModel]] = {
    ("cert-manager.io/v1", "Certificate"): Certificate,
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObject,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitor,
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"): TrainerV1alpha1TrainJob,
}


def schema_errors(manifest: Manifest) -> list[str]:
    """What is wrong with an object, a kind without a schema included."""
    kind = (manifest["apiVersion"], manifest["kind"])
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    errors = _custom_errors(CUSTOM[kind], manifest) if kind in CUSTOM else _errors(kind, manifest)
    return [f"{name}: {error}" for error in errors]


def _errors(kind: tuple[str, str], manifest: Manifest) -> list[str]:
    validator = _validator(*kind)
    if validator is None:
        return [f"there is no schema of {kind[0]} {kind[1]}"]
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@cache
def _definitions() -> referencing.Resource[Any]:
    contents = schema_contents(f"{FOLDER}/_definitions.json", VERSION)
    return referencing.Resource.from_contents(contents)


@cache
def _validator(api_version: str, kind: str) -> Any:
    group, slash, version = api_version.rpartition("/")
    name = f"{kind.lower()}-{group.partition('.')[0]}{'-' if slash else ''}{version}"
    try:
        schema = schema_contents(f"{FOLDER}/{name}.json", VERSION)
    except FileNotFoundError:
        return None
    registry: referencing.Registry[Any] = referencing.Registry()
    registry = _definitions() @ (referencing.Resource.from_contents(schema) @ registry)
    return jsonschema.Draft202012Validator(schema, registry=registry)


def _custom_errors(model: type[BaseModel], manifest: Manifest) -> list[str]:
    """The models leave out what they do not know, so what comes back is compared."""
    try:
        read = model.model_validate(manifest)
    except ValidationError as error:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    back = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return list(_missing(manifest, back, ""))


def _missing(given: Any, back: Any, path: str) -> list[str]:
    if isinstance(given, Mapping):
        deeper: Callable[[str], Any] = back.get if isinstance(back, Mapping) else lambda _: None
        lost = [f"{path}.{key}" for key in given if deeper(key) is None]
        return [f"{each} is no field" for each in lost] + [
            error
            for key, value in given.items()
            if deeper(key) is not None
            for error in _missing(value, back[key], f"{path}.{key}")
        ]
    if isinstance(given, list):
        pairs = enumerate(zip(given, back, strict=True))
        return [error for i, (a, b) in pairs for error in _missing(a, b, f"{path}[{i}]")]
    return []
