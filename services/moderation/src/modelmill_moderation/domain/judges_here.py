"""Whom the judges of a policy can be, as the operator set this service up."""

import json
from dataclasses import dataclass

from modelmill_guard.bundle import Bundle
from modelmill_service_kit.errors import InvalidInputError


@dataclass(frozen=True)
class JudgesHere:
    """Who can be asked from here."""

    classifiers: bool
    """Whether there is an inference service."""
    services: frozenset[str]
    """Names of content-safety services."""

    def check(self, bundle: Bundle) -> None:
        """Raise InvalidInputError for judges that would never give an opinion."""
        errors = []
        for judge in json.loads(bundle.content)["policy"].get("judges", ()):
            service = judge.get("service")
            if service is None and not self.classifiers:
                errors.append(f"judge {judge['id']}: no inference service is set up to ask models")
            elif service is not None and service not in self.services:
                errors.append(f"judge {judge['id']}: no service {service!r} is set up")
        if errors:
            raise InvalidInputError(errors)
