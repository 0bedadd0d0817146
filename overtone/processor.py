"""The processor of this machine, for records of training runs and of measurements."""

import platform
import re
from pathlib import Path


def processor_name() -> str:
    """The processor's model name, which on Linux stands only in /proc/cpuinfo; else what Python knows of it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text("utf-8")) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
