"""Turns off the telemetry of OpenVINO's converter, which is on by default."""

import sys

PACKAGE = "openvino_telemetry"


def forbid_telemetry() -> None:
    """Block the import of the telemetry package, so that OpenVINO and NNCF use their no-op stubs.

    Must run before OpenVINO is imported. The package's own opt-out is a file in the home folder.
    """
    sys.modules[PACKAGE] = None  # type: ignore[assignment]
