"""OpenVINO's converter reports its use to its makers unless told otherwise; here it does not."""

import sys

PACKAGE = "openvino_telemetry"


def forbid_telemetry() -> None:
    """Hide the package that sends, so that OpenVINO and NNCF use their silent stubs.

    Must run before OpenVINO is imported. The package's own switch is a file in the home folder.
    """
    sys.modules[PACKAGE] = None  # type: ignore[assignment]
