"""A description of the machine that a measurement is made on."""

import os
import platform
from datetime import UTC, datetime
from typing import Any

from overtone.gpu_server.system.threads import cores
from overtone.processor import processor_name


def about_machine() -> dict[str, Any]:
    """Processor, cores, load average, operating system, Python's version and the time, as plain values for JSON."""
    return {
        "processor": processor_name(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
