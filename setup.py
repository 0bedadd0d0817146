"""What pyproject.toml cannot say well: an extension in C that may fail to build.

Without a compiler the installation continues and the coder in numpy is used; `frequency.accelerated` tells.
"""

import os
import sys

from setuptools import Extension, setup

# Symbols and tables for debuggers would be most of a device's download; reports of sanitizers need them.
STRIPPED = sys.platform == "linux" and "-fsanitize" not in os.environ.get("CFLAGS", "")

setup(
    ext_modules=[
        Extension(
            "overtone.frequency._coder",
            ["overtone/frequency/_coder.c", "overtone/frequency/coder.c"],
            depends=["overtone/frequency/coder.h", "overtone/frequency/rans.h"],
            extra_compile_args=["-fno-asynchronous-unwind-tables"] if STRIPPED else [],
            extra_link_args=["-Wl,--strip-all"] if STRIPPED else [],
            optional=True,
            py_limited_api=True,
        )
    ],
    # One wheel serves every CPython from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
