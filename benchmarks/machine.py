"""The machine a measurement was made on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overtone.gpu_server.system.threads import cores


def about_machine() -> dict[str, Any]:
    """Processor, cores, load average, system and versions, now."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _processor() -> str:
    """Its name, which Linux has in /proc only."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
