"""What this machine has and how busy it is: processor, memory, disk and every GPU."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from recipe.run.disk import find_existing

logger = logging.getLogger(__name__)

MIB = 2**20

_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.current", "memory.max", "memory.stat"),
    ("memory/memory.usage_in_bytes", "memory/memory.limit_in_bytes", "memory/memory.stat"),
)
"""Use, limit and parts of it, of control groups version 2 and 1."""


def system_stats(folder: Path) -> dict[str, Any]:
    """The contract's `system_stats`: percentages in [0, 100] and GPU memory in MiB.

    Where torch is loaded, its allocator tells what this process holds of its own GPU; else the driver
    tells what all GPUs hold together.

    Args:
        folder: A place on the disk to report on; need not exist.
    """
    stats: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": psutil.virtual_memory().percent,
        "disk_usage_percent": psutil.disk_usage(str(find_existing(folder))).percent,
        "gpu_available": False,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        total = torch.cuda.get_device_properties().total_memory
    else:
        gpus = gpu_stats()
        if not gpus:
            return stats
        # The driver cannot tell allocated from reserved; only the allocator can.
        allocated = reserved = sum(gpu.get("memory_used_mb", 0.0) for gpu in gpus) * MIB
        total = sum(gpu.get("memory_total_mb", 0.0) for gpu in gpus) * MIB
    return stats | {
        "gpu_available": True,
        "gpu_memory_allocated_mb": round(allocated / MIB, 1),
        "gpu_memory_reserved_mb": round(reserved / MIB, 1),
        "gpu_memory_total_mb": round(total / MIB, 1),
    }


def available_memory() -> int:
    """Bytes of memory that may still be taken: of the machine, or of the container's limit."""
    available = int(psutil.virtual_memory().available)
    for usage_name, limit_name, cache_name in _CGROUP_FILES:
        with suppress(OSError, ValueError):
            limit, usage = (int((_CGROUP / name).read_text()) for name in (limit_name, usage_name))
            lines = (_CGROUP / cache_name).read_text().splitlines()
            cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
            available = min(available, limit - usage + cached)
    return available


def gpu_stats() -> list[dict[str, float]]:
    """For every GPU: memory in MiB, utilisation in percent, power in watts, temperature in degrees Celsius.

    Empty without an NVIDIA driver. A figure that a card does not give is left out.
    """
    with _open_nvml() as nvml:
        if nvml is None:
            return []
        return [_stats_of_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]


def find_gpus() -> list[tuple[str, int]]:
    """Name and bytes of memory of every GPU, as the driver tells, which takes nothing of them."""
    with _open_nvml() as nvml:
        if nvml is None:
            return []
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [
            (nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles
        ]


def _stats_of_gpu(nvml: ModuleType, index: int) -> dict[str, float]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    stats: dict[str, float] = {"index": index}
    with suppress(nvml.NVMLError):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        stats |= {"memory_used_mb": memory.used / MIB, "memory_total_mb": memory.total / MIB}
    with suppress(nvml.NVMLError):
        stats["utilization_percent"] = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    with suppress(nvml.NVMLError):
        stats["power_watts"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
    with suppress(nvml.NVMLError):
        stats["temperature_celsius"] = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    return stats


@contextmanager
def _open_nvml() -> Iterator[ModuleType | None]:
    """The NVIDIA management library, or None on a machine without a driver."""
    import pynvml  # noqa: PLC0415 - not paid for at the worker's start

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.debug("No NVIDIA driver: %s", error)
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()
