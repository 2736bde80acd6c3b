"""Runtimes report to nobody and leave no id in the home."""

import os
import sys


def switch_off() -> None:
    """Call it before ONNX Runtime, OpenVINO or NNCF is imported: they look once."""
    # ONNX Runtime 1.32 keeps an id and a database under ~/.cache/Microsoft otherwise.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO and NNCF do without this package; its own switch is a file in the home.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
