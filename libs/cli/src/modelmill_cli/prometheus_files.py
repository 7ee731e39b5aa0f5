"""Files by which a Prometheus finds the services of `mill up`, whose ports change."""

import json
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
CONFIG, TARGETS = "prometheus.yml", "prometheus-targets.json"
TEMPLATE = """\
# Written by `mill up`: prometheus --config.file={config}
# For alerts and objectives add rule_files: deploy/prometheus of the sources has them.
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: {{docs: "{url}/docs"}}
scrape_configs:
  - job_name: modelmill
    authorization: {{credentials_file: "{secret}"}}
    file_sd_configs: [{{files: ["{targets}"], refresh_interval: 5s}}]
"""


def prometheus_files(
    folder: Path, secret_file: Path, url: str, ports: Mapping[str, int]
) -> dict[Path, bytes]:
    """What each file holds.

    Args:
        folder: Of the files.
        secret_file: What Prometheus shows the services.
        url: Of the gateway, whose documentation alerts name.
        ports: Of the services' metrics, by their names.
    """
    config, targets = folder / CONFIG, folder / TARGETS
    found = [
        {"targets": [f"{HOST}:{port}"], "labels": {"job": name.replace("_", "-")}}
        for name, port in sorted(ports.items())
    ]
    text = TEMPLATE.format(config=config, url=url, secret=secret_file, targets=targets)
    return {config: text.encode(), targets: json.dumps(found, indent=1).encode()}
