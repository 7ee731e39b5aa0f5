"""TrainJobs over the HTTP interface of a Kubernetes API server."""

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from modelmill_trainer.domain.cluster import Cluster
from modelmill_trainer.launching.train_job import GROUP, VERSION

TIMEOUT_SECONDS = 30.0
CONFLICT = 409
NOT_FOUND = 404


class KubernetesError(RuntimeError):
    """The API server refused, or does not answer.

    Args:
        status: Of HTTP; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class TrainJobs:
    """The TrainJobs of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._address = urlsplit(cluster.address)
        self._token_file = Path(cluster.token_file)
        self._ca_file = cluster.ca_file
        namespace = quote(cluster.namespace, safe="")
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/trainjobs"

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Once more changes nothing: names are given to one run each. Raises KubernetesError."""
        try:
            self._ask("POST", self._path, manifest)
        except KubernetesError as error:
            if error.status != CONFLICT:
                raise

    def read(self, name: str) -> dict[str, Any] | None:
        """What is known of it; None when there is none. Raises KubernetesError."""
        try:
            return self._ask("GET", f"{self._path}/{quote(name, safe='')}")
        except KubernetesError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def delete(self, name: str) -> None:
        """With its pods; nothing when there is none. Raises KubernetesError."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            self._ask("DELETE", f"{self._path}/{quote(name, safe='')}", options)
        except KubernetesError as error:
            if error.status != NOT_FOUND:
                raise

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection = self._connection()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._token_file.read_text().strip()}",
        }
        try:
            connection.request(
                method, path, json.dumps(dict(body)) if body is not None else None, headers
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise KubernetesError(0, f"the API server does not answer: {error}") from error
        finally:
            connection.close()
        said = _as_json(content)
        if answer.status >= http.client.BAD_REQUEST:
            raise KubernetesError(answer.status, str(said.get("message", answer.reason)))
        return said

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        context = ssl.create_default_context(cafile=self._ca_file or None)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)


def _as_json(content: bytes) -> dict[str, Any]:
    """The object in an answer; an empty one when it is none, as of a proxy in between."""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
