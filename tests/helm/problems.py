"""What schemas and rules find in the objects of a value set."""

from tests.helm.policies import violations
from tests.helm.rendering import NAMESPACE, RELEASE, Values, render
from tests.helm.schemas import schema_errors


def problems(values: Values, *, release: str = RELEASE, namespace: str = NAMESPACE) -> list[str]:
    """Errors of schemas, then violations of rules.

    Raises:
        HelmError: the values are refused, by the schema or by a template.
    """
    manifests = render(values, release=release, namespace=namespace)
    return [error for each in manifests for error in schema_errors(each)] + violations(manifests)
