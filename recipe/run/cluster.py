"""The machines of a training, as one of them sees it, and what its launcher is told of them."""

import re
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recipe.errors import JobError

DEFAULT_PORT = 29500
EXAMPLE = "MASTER_ADDR=10.65.0.2 NUM_NODES=2 NODE_RANK=0"

JOIN_SECONDS = 600
"""Time that an attempt waits for all machines; then its launcher ends, and the next attempt waits."""

SHUTDOWN_SECONDS = 600
"""Time that a launcher which is asked to stop leaves its processes to save; they bound it themselves."""


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
        """What `accelerate launch` is told; one process on each GPU, or on a machine without.

        The machines meet at machine 0 by torchrun's c10d rendezvous: one that comes back while the others
        still wait for its processes has them begin anew.
        """
        is_host = int(self.rank == 0)
        return [
            *("--num_machines", str(self.num_machines), "--machine_rank", str(self.rank)),
            *("--main_process_ip", self.address, "--main_process_port", str(self.port)),
            *("--num_processes", str(self.num_machines * max(1, num_gpus))),
            *("--rdzv_backend", "c10d", "--rdzv_conf", f"is_host={is_host},join_timeout={JOIN_SECONDS}"),
        ]

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What torchrun takes from the environment, since `accelerate launch` has no flags for it.

        NODE_ADDR is this machine's address, where the environment has it, as RunPod's does.

        Left alone, machines name themselves by host names, which others may not know, and one that comes
        back is not told where the processes meet: torch keeps that from the first time.
        """
        return {
            "PET_LOCAL_ADDR": environment.get("NODE_ADDR") or find_own_address(self.address, self.port),
            "PET_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }


def find_own_address(other: str, port: int) -> str:
    """This machine's address on the network by which it reaches another; "" if it knows no way there."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(other, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)  # nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def list_slurm_hosts(nodelist: str) -> list[str]:
    """The host names of Slurm's short form, such as gpu[01-04]."""
    command = ["scontrol", "show", "hostnames", nodelist]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - no shell
    return answer.stdout.split()


def read_hosts(path: Path) -> list[str]:
    """The hosts of a file, one a line, machine 0 first; empty lines and comments (#) do not count.

    Raises:
        JobError: if there are none, or one stands there twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise JobError(f"--hosts: {path} cannot be read ({error}).") from error
    hosts = [name for line in lines if (name := line.partition("#")[0].strip())]
    if not hosts or len({*hosts}) < len(hosts):
        raise JobError(f"--hosts: {path} has {len(hosts)} hosts; expected one a line, each of them once.")
    return hosts


def read_cluster(
    environment: Mapping[str, str], list_hosts: Callable[[str], list[str]] = list_slurm_hosts
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
            "this in a RunPod Instant Cluster, with srun, or with --hosts and a file of hosts; or set them "
            f"as in {EXAMPLE}."
        )
    cluster = Cluster(int(numbers["NUM_NODES"]), int(numbers["NODE_RANK"]), address, int(port_text))
    if not 0 <= cluster.rank < cluster.num_machines:
        raise JobError(f"NODE_RANK {cluster.rank} is not a machine of NUM_NODES {cluster.num_machines}.")
    return cluster
