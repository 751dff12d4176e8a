"""What the numbers were measured on: enough to read them, and no name of a host."""
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "torch", "jax", "autograd", "mygrad")


def processor() -> str:
    """The model of the CPU, as the system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def system() -> str:
    """The operating system, with its version where that is public."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe() -> dict:
    """Machine, libraries, versions."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"processor": processor(), "cores": os.cpu_count(), "system": system(), "python": platform.python_version(),
            "blas": f"{blas['name']} {blas['version']}", "versions": {package: installed_version(package) for package in PACKAGES}}
