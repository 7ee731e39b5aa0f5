"""The machine that figures were measured on."""

import os
import platform
from pathlib import Path


def machine_facts() -> dict[str, str]:
    """System and processor, in words."""
    return {"platform": platform.platform(), "processor": _processor()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = os.cpu_count() or len(names)
    return f"{cores} x {names[0]}" if names else platform.processor()
