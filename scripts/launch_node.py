#!/usr/bin/env python
"""Start this machine's part of a training on several machines; the same line on every one of them.

    python scripts/launch_node.py train.py --data_dir /shared/recordings --output_dir /shared/runs/first
    srun --ntasks-per-node=1 python scripts/launch_node.py train.py …        # in a Slurm job of several nodes
    python scripts/launch_node.py --hosts hosts.txt train.py …               # here, for all: each by ssh

Which machines there are, RunPod's Instant Clusters and Slurm say in environment variables; elsewhere set
MASTER_ADDR, NUM_NODES and NODE_RANK. Accelerate's config files read no variables: these become flags.

When a machine dies, the others wait for it; started again, by whatever starts it, all go on from the last
whole checkpoint. Exit codes are those of train.py: docs/clusters.md.
"""

import argparse
import logging
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from recipe.errors import JobError
from recipe.run.cluster import DEFAULT_PORT, read_cluster, read_hosts
from recipe.run.folder import RunFolder
from recipe.run.launch import REPOSITORY_DIR, count_gpus
from recipe.run.remote_nodes import RemoteNodes
from recipe.run.restarts import MAX_RESTARTS, Restarts
from recipe.training.first_look import find_output_dir

FOREIGN = {"WORLD_SIZE", "RANK", "LOCAL_RANK"}
"""A platform's own count of processes, which ours would take for theirs."""

SSH = "ssh -o BatchMode=yes -o ServerAliveInterval=15"
"""Asks nothing, and ends 45 s after a host fell silent."""

CONFIG_FILE = REPOSITORY_DIR / "accelerate_configs" / "multi_node.yaml"


def main() -> None:
    """Run this machine's part, or all machines' parts by ssh, until the run has ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config_file", default=str(CONFIG_FILE), help="of accelerate launch")
    parser.add_argument("--max_restarts", type=int, default=MAX_RESTARTS, help="in a row, without progress")
    parser.add_argument("--hosts", type=Path, help="a file of hosts, one a line: start the part of each")
    parser.add_argument("--ssh", default=SSH, help="what reaches a host of --hosts")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the first host of --hosts")
    parser.add_argument(
        "--end_with_stdin", action="store_true", help="stop when standard input is closed: ssh has gone"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="train.py and its arguments")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    os.chdir(REPOSITORY_DIR)
    try:
        sys.exit(start_all(arguments) if arguments.hosts else start_own(arguments))
    except JobError as error:
        sys.exit(str(error))


def start_own(arguments: argparse.Namespace) -> int:
    """Run this machine's part; the exit code."""
    cluster = read_cluster(os.environ)
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", arguments.config_file]
    flags = cluster.flags(count_gpus(os.environ))
    restarts = Restarts(RunFolder(find_output_dir(arguments.command[1:])), arguments.max_restarts)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, restarts.stop)
    if arguments.end_with_stdin:
        threading.Thread(target=lambda: restarts.stop(sys.stdin.read()), daemon=True).start()
    return restarts.keep_running(
        [*launcher, *flags, *arguments.command], environment | cluster.variables(environment)
    )


def start_all(arguments: argparse.Namespace) -> int:
    """Run the part of every host; the exit code."""
    own = ["--config_file", arguments.config_file, "--max_restarts", str(arguments.max_restarts)]
    line = [sys.executable, "scripts/launch_node.py", "--end_with_stdin", *own, *arguments.command]
    command = f"cd {shlex.quote(str(REPOSITORY_DIR))} && exec env {{variables}} {shlex.join(line)}"
    nodes = RemoteNodes(read_hosts(arguments.hosts), shlex.split(arguments.ssh), arguments.port)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, nodes.stop)
    return nodes.keep_running(command)


if __name__ == "__main__":
    main()
