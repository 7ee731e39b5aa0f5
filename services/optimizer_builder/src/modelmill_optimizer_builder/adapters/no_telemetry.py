"""Turns off the telemetry of OpenVINO's converter and of ONNX Runtime, which is on by default."""

import os
import sys

PACKAGE = "openvino_telemetry"
SWITCH = "ORT_DISABLE_TELEMETRY"


def forbid_telemetry() -> None:
    """Have OpenVINO, NNCF and ONNX Runtime report nothing to anybody.

    Must run before any of them is imported. The import of OpenVINO's package is blocked, since its
    own opt-out is a file in the home folder. ONNX Runtime and its GenAI read an environment
    variable as they load.
    """
    sys.modules[PACKAGE] = None  # type: ignore[assignment]
    os.environ[SWITCH] = "1"
