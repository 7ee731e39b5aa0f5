"""/metrics shows itself to holders of the secret alone."""

import urllib.error
import urllib.request

import pytest
from modelmill_service_kit.metrics import MetricsPage


def get(port: int, token: str | None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read().decode()


def test_a_holder_of_the_secret_reads_the_metrics():
    with MetricsPage("127.0.0.1:0", "s3cret") as page:
        assert "modelmill_rpc_server_seconds" in get(page.port, "s3cret")


@pytest.mark.parametrize("token", [None, "", "S3cret", "s3cret2"])
def test_nobody_else_reads_them(token):
    with MetricsPage("127.0.0.1:0", "s3cret") as page:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(page.port, token)
        refused.value.close()
    assert refused.value.code == 401
