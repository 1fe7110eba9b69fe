"""How the processes of a training are started: the command, and what Accelerate tells them."""

import ctypes
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recipe.run.machine import gpu_stats

REPOSITORY_DIR = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1


def count_gpus(environment: Mapping[str, str], list_gpus: Callable[[], Sequence[object]] = gpu_stats) -> int:
    """The number of NVIDIA GPUs that a training with this environment may use; torch is not needed."""
    num_installed = len(list_gpus())
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return num_installed
    entries = [entry.strip() for entry in visible.split(",")]
    # CUDA ignores an invalid entry, such as -1, and all that follow it.
    valid = itertools.takewhile(lambda entry: entry.isdigit() or entry.startswith(("GPU-", "MIG-")), entries)
    return min(num_installed, len(list(valid)))


def build_train_command(arguments_file: Path, num_gpus: int) -> list[str]:
    """The command that trains with these arguments on all GPUs, or on the CPU if there is none."""
    # Quiet: a launcher of one process adds no traceback to what train.py says.
    configs = {0: ["cpu.yaml", "--quiet"], 1: ["single_gpu.yaml", "--quiet"]}
    config, *flags = configs.get(num_gpus, ["multi_gpu.yaml", "--num_processes", str(num_gpus)])
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    config_file = REPOSITORY_DIR / "accelerate_configs" / config
    return [*launcher, "--config_file", str(config_file), *flags, "train.py", str(arguments_file)]


def uses_fsdp(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether weights are shared out among the processes."""
    return environment.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def uses_deepspeed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether DeepSpeed trains."""
    return environment.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def engine_name(environment: Mapping[str, str] = os.environ) -> str:
    """The engine by name: each writes its checkpoints in a form of its own."""
    if uses_fsdp(environment):
        return "FSDP"
    return "DeepSpeed" if uses_deepspeed(environment) else "plain"


def find_engine_problems(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence for each setting of the launch's config that this recipe cannot train with."""
    rules: list[tuple[bool, str]] = []
    if uses_fsdp(environment):
        rules = [
            (
                environment.get("FSDP_VERSION", "1") == "2",
                "fsdp_version must be 2: version 1 changes the names and the grouping of weights",
            ),
            (
                environment.get("FSDP_STATE_DICT_TYPE") == "SHARDED_STATE_DICT",
                "fsdp_state_dict_type must be SHARDED_STATE_DICT: each process writes its own part",
            ),
            (
                environment.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "false").lower() == "false",
                "fsdp_cpu_ram_efficient_loading must be false: every process evaluates the base model",
            ),
            (
                environment.get("FSDP_ACTIVATION_CHECKPOINTING", "false").lower() == "false",
                "fsdp_activation_checkpointing must be false: use --activation_checkpointing True",
            ),
        ]
    elif uses_deepspeed(environment):
        rules = [
            (
                environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") in {"1", "2"},
                "zero_stage must be 1 or 2: to share out weights too, take accelerate_configs/fsdp.yaml",
            ),
        ]
    return [problem for is_met, problem in rules if not is_met]


def die_with_parent(signal_number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Have the kernel send this process `signal_number` when its parent ends (Linux; elsewhere nothing).

    Source: prctl(2), PR_SET_PDEATHSIG.

    Args:
        signal_number: The signal.
        parent: Id of the process that started this one, which may have ended since; today's parent if it is
            not known.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = parent or os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal_number)


def open_standard_streams() -> None:
    """Have something behind the standard streams of a process that was started with some of them closed.

    A file that is opened later would get the number of one, and in it whatever libraries print.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - its only form
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
