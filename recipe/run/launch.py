"""How the processes of a training are started: the command, what Accelerate tells them, their machines."""

import ctypes
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.errors import JobError
from recipe.run.machine import gpu_stats

REPOSITORY_DIR = Path(__file__).resolve().parents[2]
DEFAULT_PORT = 29500
EXAMPLE = "MASTER_ADDR=10.65.0.2 NUM_NODES=2 NODE_RANK=0"
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
                environment.get("FSDP_STATE_DICT_TYPE") == "FULL_STATE_DICT",
                "fsdp_state_dict_type must be FULL_STATE_DICT: the best checkpoint's weights are published",
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


@dataclass(frozen=True)
class Cluster:
    """The machines of a training, as one of them sees it.

    Attributes:
        num_machines: Machines in all.
        rank: This machine's number, from 0.
        address: Of machine 0, as the others reach it.
        port: Of machine 0.
    """

    num_machines: int
    rank: int
    address: str
    port: int = DEFAULT_PORT

    def flags(self, num_gpus: int) -> list[str]:
        """What `accelerate launch` is told; one process on each GPU, or on a machine without."""
        return [
            *("--num_machines", str(self.num_machines), "--machine_rank", str(self.rank)),
            *("--main_process_ip", self.address, "--main_process_port", str(self.port)),
            *("--num_processes", str(self.num_machines * max(1, num_gpus))),
        ]


def list_hosts(nodelist: str) -> list[str]:
    """The host names of Slurm's short form, such as gpu[01-04]."""
    command = ["scontrol", "show", "hostnames", nodelist]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - no shell
    return answer.stdout.split()


def read_cluster(
    environment: Mapping[str, str], list_hosts: Callable[[str], list[str]] = list_hosts
) -> Cluster:
    """The cluster that the environment describes.

    Args:
        environment: Its variables.
        list_hosts: Expands Slurm's list of nodes.

    Raises:
        JobError: if it names none, or one that cannot be.
    """
    if "SLURM_NODEID" in environment and "NODE_RANK" not in environment:
        address = list_hosts(environment["SLURM_JOB_NODELIST"])[0]
        port = 10_000 + int(environment["SLURM_JOB_ID"]) % 20_000  # jobs may share a machine
        names = {"NUM_NODES": environment["SLURM_NNODES"], "NODE_RANK": environment["SLURM_NODEID"]}
        environment = {"MASTER_ADDR": address, "MASTER_PORT": str(port), **names}
    address = environment.get("MASTER_ADDR") or environment.get("PRIMARY_ADDR", "")
    port_text = environment.get("MASTER_PORT") or environment.get("PRIMARY_PORT") or str(DEFAULT_PORT)
    numbers = {name: environment.get(name, "") for name in ("NUM_NODES", "NODE_RANK")}
    if not address or not all(re.fullmatch(r"\d+", text) for text in [*numbers.values(), port_text]):
        raise JobError(
            f"No cluster was found: MASTER_ADDR is {address!r}, its port {port_text!r}, {numbers}. Start "
            f"this in a RunPod Instant Cluster or with srun, or set them as in {EXAMPLE}."
        )
    cluster = Cluster(int(numbers["NUM_NODES"]), int(numbers["NODE_RANK"]), address, int(port_text))
    if not 0 <= cluster.rank < cluster.num_machines:
        raise JobError(f"NODE_RANK {cluster.rank} is not a machine of NUM_NODES {cluster.num_machines}.")
    return cluster
