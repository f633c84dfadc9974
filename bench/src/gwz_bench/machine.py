"""Where a run took place: the machine, and the versions of everything that was measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MEASURED = (
    "gwz-instrument",
    "fastapi",
    "starlette",
    "prometheus-client",
    "prometheus-fastapi-instrumentator",
    "starlette-exporter",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-fastapi",
    "python-logging-loki",
    "requests",
    "urllib3",
)


def machine() -> dict[str, Any]:
    """Processor, cores, system and Python; the load says whether somebody else was working."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Each measured package with its version; `absent` where it is not installed."""
    return {name: _version(name) for name in MEASURED}


def missing() -> list[str]:
    """The packages without which no run can be complete."""
    return [name for name, found in versions().items() if found == "absent"]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return models[0] if models else platform.processor()
