"""The chart, rendered by Helm's own engine, without a cluster."""

import copy
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart
from yaml import CSafeLoader

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "modelmill"
PROFILES: Mapping[str, tuple[str, ...]] = {
    "single": ("single",),
    "ha": ("ha",),
    "gpu": ("ha", "gpu"),
}
"""By name, the values files that are given together."""
IMAGES = (
    *("gateway", "moderation", "data-prep", "trainer", "optimizer-builder", "inference"),
    *("nats", "triton", "vllm", "trainer-ranks"),
)
RELEASE, NAMESPACE = "mill", "models"

Manifest = dict[str, Any]
Values = dict[str, Any]


class StrictLoader(CSafeLoader):
    """YAML as PyYAML and Helm read it: what either takes for a number must be quoted."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each of whose keys comes once."""
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


# Numbers of YAML 1.2, which PyYAML takes for text. And `=`, which PyYAML alone does not.
StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
StrictLoader.yaml_implicit_resolvers.pop("=")


def merged(*sets: Mapping[str, Any]) -> Values:
    """Values files laid upon each other, as `helm -f A -f B` does."""
    result: Values = {}
    for each in sets:
        for key, value in each.items():
            below = result.get(key)
            both = isinstance(value, Mapping) and isinstance(below, Mapping)
            result[key] = merged(below, value) if both else copy.deepcopy(value)
    return result


def given() -> Values:
    """What every installation must say, and a digest for each image."""
    return {
        "secrets": {"shared": "mill-secrets", "bus": "mill-bus", "tlsPrefix": "mill-"},
        "gateway": {"jwtIssuer": "https://issuer.example", "jwtAudience": "modelmill"},
        "images": {"digests": {name: f"sha256:{'0f' * 32}" for name in IMAGES}},
    }


def profile(name: str) -> Values:
    """The values of a profile, with what every installation must say."""
    files = [CHART / "profiles" / f"{each}.yaml" for each in PROFILES[name]]
    return merged(given(), *(yaml.safe_load(file.read_text()) for file in files))


@cache
def chart() -> Chart:
    """The chart, loaded once."""
    return Chart.load(CHART)


def render_text(
    values: Mapping[str, Any], *, release: str = RELEASE, namespace: str = NAMESPACE
) -> dict[str, str]:
    """Rendered files by name.

    Raises:
        HelmError: the values are refused, by the schema or by a template.
    """
    texts: dict[str, str] = chart().render(dict(values), name=release, namespace=namespace)
    return {name: text for name, text in texts.items() if not name.endswith(".txt")}


def render(
    values: Mapping[str, Any], *, release: str = RELEASE, namespace: str = NAMESPACE
) -> list[Manifest]:
    """All objects, in the order of files.

    Raises:
        HelmError: the values are refused, by the schema or by a template.
    """
    return objects_of(render_text(values, release=release, namespace=namespace))


def objects_of(texts: Mapping[str, str]) -> list[Manifest]:
    """All objects of rendered files."""
    return [
        manifest
        for name in sorted(texts)
        for manifest in yaml.load_all(texts[name], Loader=StrictLoader)
        if manifest
    ]


@cache
def table(file: str) -> Any:
    """A table of the chart: `edges`, `components` or `scaling`."""
    return yaml.safe_load((CHART / "files" / f"{file}.yaml").read_text())
