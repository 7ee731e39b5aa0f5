"""Value sets over the chart's schema, made consistent where the schema alone does not say so."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.helm.rendering import CHART, Values, chart, given, merged, table

Path = tuple[str, ...]

ASCII = st.characters(codec="ascii", categories=("L", "N", "P", "S"))
DIGEST = "^sha256:[0-9a-f]{64}$"
MOST_CHARACTERS = 40
ODD = ("2", "012", "1.5", "1e3", "0x1f", "0o7", "null", "true", "no", "y", "2026-01-01")
"""Texts that YAML takes for something else, unless they stand in quotes."""
PEERS = {
    "natsOutside": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
    "bucket": [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
    "ray": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ray"}}}],
    "apiServer": [{"ipBlock": {"cidr": "10.3.0.1/32"}}],
}
SWITCHES: Sequence[Path] = (
    *((name, "enabled") for name in ("monitoring", "priorities", "trainJob", "triton", "vllm")),
    *(("monitoring", name, "enabled") for name in ("rules", "dashboards")),
    ("monitoring", "gatewayAsks"),
    *(("gateway", "jwksUrl"), ("gateway", "tlsSecret"), ("images", "pullSecrets")),
    *(("nats", name) for name in ("address", "replicas", "storageClass")),
    *(("artifacts", "volume", name) for name in ("accessMode", "existingClaim", "storageClass")),
    *(("artifacts", "kind"), ("ray", "address"), ("tls", "mode"), ("traces", "endpoint")),
)
"""What decides which objects there are, and which parts they have."""
SCALED_BY_QUERIES = ("gateway", "moderation", "inference")
SCALED_BY_PODS = ("gateway", "inference")


@cache
def schema() -> Any:
    """The chart's schema."""
    return json.loads((CHART / "values.schema.json").read_text())


def of(part: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a part of the schema allows; of objects any subset of properties."""
    if "$ref" in part:
        return of(schema()["$defs"][part["$ref"].rpartition("/")[2]])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    kind = part.get("type")
    if isinstance(kind, list):
        return st.one_of(*(of({**part, "type": each}) for each in kind))
    if kind == "number":
        return st.integers(1, 100_000).map(lambda thousandths: thousandths / 1000)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        low = part.get("minimum", 0)
        return st.integers(low, min(part.get("maximum", 1000), low + 2000))
    if kind == "string":
        return _text(part)
    if kind == "array":
        return st.lists(of(part["items"]), max_size=2)
    return _object(part)


def _text(part: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" not in part:
        return st.text(ASCII, min_size=part.get("minLength", 0), max_size=MOST_CHARACTERS)
    if part["pattern"] == DIGEST:
        return st.integers(0, 2**256 - 1).map(lambda number: f"sha256:{number:064x}")
    pattern = re.compile(part["pattern"].removeprefix("^").removesuffix("$"), re.ASCII)
    least, most = part.get("minLength", 0), min(part.get("maxLength", MOST_CHARACTERS), 40)
    refused = part.get("not", {}).get("const")
    odd = [each for each in ODD if pattern.fullmatch(each) and least <= len(each) <= most]
    drawn = st.from_regex(pattern, fullmatch=True, alphabet=ASCII).filter(
        lambda text: least <= len(text) <= most and text != refused
    )
    return st.one_of(st.sampled_from(odd), drawn) if odd else drawn


def _object(part: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    properties = part.get("properties")
    if properties is None and "propertyNames" in part:
        names = _text({"type": "string", **part["propertyNames"]})
        return st.dictionaries(names, of(part["additionalProperties"]), max_size=2)
    if part.get("minProperties"):
        # A peer of a NetworkPolicy is of one sort.
        return st.one_of(*(st.fixed_dictionaries({k: of(v)}) for k, v in properties.items()))
    chosen = {name: of(each) for name, each in (properties or {}).items()}
    # Of a list's item all that is required; values are laid upon the chart's own, which have all.
    required = set(part.get("required", ())) if part.get("required") != list(chosen) else set()
    drawn = st.fixed_dictionaries(
        {name: chosen[name] for name in required},
        optional={name: each for name, each in chosen.items() if name not in required},
    )
    return drawn.map(_toleration) if "tolerationSeconds" in chosen else drawn


def _toleration(drawn: Values) -> Values:
    """What `allOf` of the schema says of it."""
    if drawn.get("operator") == "Exists":
        drawn.pop("value", None)
    return drawn | ({"effect": "NoExecute"} if "tolerationSeconds" in drawn else {})


def consistent(base: Values, drawn: Values) -> Values:
    """What the templates would refuse by name, made right: those have tests of their own."""
    values = merged(chart().values, base, drawn)
    for part in ("secrets", "gateway"):
        own = values[part]
        own |= {name: value for name, value in given()[part].items() if not own[name]}
    values["tls"]["issuer"]["name"] = values["tls"]["issuer"]["name"] or "issuer"
    values["vllm"]["model"] = values["vllm"]["model"] or "blobs/model"
    monitoring, nats = values["monitoring"], values["nats"]
    for part in ("rules", "dashboards"):
        monitoring[part]["enabled"] &= monitoring["enabled"]
    monitoring["gatewayAsks"] &= monitoring["enabled"]
    monitoring["prometheusAddress"] = monitoring["prometheusAddress"] or "http://prometheus:9090"
    nats["monitorAddress"] = nats["monitorAddress"] or "nats.bus:8222"
    for name, peers in values["network"]["peers"].items():
        values["network"]["peers"][name] = peers or PEERS.get(name, [{"namespaceSelector": {}}])
    _settle_addresses(values)
    _settle_sizes(values)
    for name, component in values["components"].items():
        _settle(name, component, values)
    return values


def _settle_addresses(values: Values) -> None:
    gateway, s3 = values["gateway"], values["artifacts"]["s3"]
    values["network"]["gatewayReachesInternet"] |= bool(gateway["jwksUrl"])
    gateway["jwksUrl"] = re.sub(r"^(https://[^/:]+):[0-9]+", r"\1", gateway["jwksUrl"])
    s3["url"] = s3["url"] or "s3://bucket/prefix"
    s3["endpoint"] = re.sub(r"^(https?://[^/:]+)(:[0-9]+)?", rf"\g<1>:{s3['port']}", s3["endpoint"])
    shared = [values[part] for part in ("triton", "vllm", "trainJob")]
    if values["artifacts"]["kind"] == "s3" and any(part["enabled"] for part in shared):
        # One of both, by another switch.
        if values["priorities"]["enabled"]:
            values["artifacts"]["kind"] = "volume"
        else:
            for part in shared:
                part["enabled"] = False
    if values["trainJob"]["enabled"]:
        values["artifacts"]["volume"]["accessMode"] = "ReadWriteMany"


def _settle_sizes(values: Values) -> None:
    nats, tls = values["nats"], values["tls"]
    if size(nats["maxFileStore"]) > size(nats["storage"]):
        nats["storage"] = nats["maxFileStore"].removesuffix("B") + "i"
    if int(tls["renewBefore"][:-1]) >= int(tls["duration"][:-1]):
        tls["duration"] = f"{tls['duration'][:-1]}0h" if len(tls["duration"]) < 6 else "99999h"
        tls["renewBefore"] = "1h"
    parts = [values[each] for each in ("nats", "streams", "doctor", "triton", "vllm")]
    for part in (*parts, *values["components"].values()):
        asked, most = part["resources"]["requests"], part["resources"]["limits"]
        if size(asked["memory"]) > size(most["memory"]):
            asked["memory"] = most["memory"]
        if "cpu" in most:
            asked["cpu"] = most["cpu"]


def size(text: str) -> int:
    """Bytes of a size, of which only the unit's first letter counts."""
    number, unit = re.fullmatch(r"([0-9]+)([KMGT])\w*", text).groups()  # type: ignore[union-attr]
    return int(number) << 10 * (1 + "KMGT".index(unit))


def _settle(name: str, component: Any, values: Values) -> None:
    scaling, own = component["scaling"], table("components")[name]
    for refused in ("DRAIN_SECONDS", "DRAIN_NOTICE_SECONDS"):
        component["settings"].pop(refused, None)
    if name == "trainer-work":
        component["saveSeconds"] = max(component["saveSeconds"], 240)
    kinds = {"none", "cpu"} | ({"lag"} if own.get("consumers") else set())
    kinds |= {"prometheus"} if name in SCALED_BY_QUERIES else set()
    kinds |= {"custom"} if name in SCALED_BY_PODS else set()
    if own.get("single"):
        component["replicas"], scaling["kind"] = min(component["replicas"], 1), "none"
    elif scaling["kind"] not in kinds:
        # Spread over what there is, by what was drawn.
        scaling["kind"] = sorted(kinds)[(scaling["max"] + scaling["cpuPercent"]) % len(kinds)]
    if scaling["kind"] == "prometheus":
        values["monitoring"]["enabled"] = True
    if scaling["kind"] != "lag":
        scaling["min"] = max(scaling["min"], 1)
    scaling["max"] = max(scaling["max"], scaling["min"])
    if values["artifacts"]["volume"]["accessMode"] == "ReadWriteOnce":
        values["triton"]["replicas"] = values["vllm"]["replicas"] = 1
        component["replicas"] = min(component["replicas"], 1)
        scaling["max"], scaling["min"] = 1, min(scaling["min"], 1)


@cache
def leaves() -> Mapping[Path, st.SearchStrategy[Any]]:
    """Strategies of all values that are no group of others, by path."""
    return dict(_leaves((), schema()))


def _leaves(path: Path, part: Any) -> Iterator[tuple[Path, st.SearchStrategy[Any]]]:
    if "$ref" in part:
        part = schema()["$defs"][part["$ref"].rpartition("/")[2]]
    if "properties" not in part:
        yield path, of(part)
    for name, each in part.get("properties", {}).items():
        yield from _leaves((*path, name), each)


@st.composite
def value_sets(draw: st.DrawFn, base: Values) -> Values:
    """Consistent values that the schema allows, laid upon those of a profile.

    Switches are drawn always, of all others some: a strategy of the whole schema is too large for
    Hypothesis, which then leaves most values as they are.
    """
    scaled = [("components", name, "scaling", "kind") for name in table("components")]
    always = [*SWITCHES, *scaled]
    others = sorted(set(leaves()) - {*always, ("global",)})
    chosen = draw(st.lists(st.sampled_from(others), unique=True, min_size=20, max_size=60))
    values: Values = {}
    for path in (*always, *chosen):
        group = values
        for name in path[:-1]:
            group = group.setdefault(name, {})
        group[path[-1]] = draw(leaves()[path])
    return consistent(base, values)
