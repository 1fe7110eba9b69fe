"""The machines of a training on several, as RunPod's Instant Clusters, Slurm or a person name them."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recipe.errors import JobError

DEFAULT_PORT = 29500
EXAMPLE = "MASTER_ADDR=10.65.0.2 NUM_NODES=2 NODE_RANK=0"


@dataclass(frozen=True)
class Cluster:
    """The machines of a training, as one of them sees it.

    Attributes:
        num_machines: Machines in all.
        rank: This machine's number, from 0.
        address: Of machine 0, as the others reach it.
        port: Where machine 0 listens.
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
