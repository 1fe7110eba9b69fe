#!/usr/bin/env python
"""Start this machine's part of a training on several machines; the same line on every one of them.

    python scripts/launch_node.py train.py --data_dir /shared/recordings --output_dir /shared/runs/first
    srun --ntasks-per-node=1 python scripts/launch_node.py train.py …        # in a Slurm job of several nodes

Which machines there are, RunPod's Instant Clusters and Slurm say in environment variables; elsewhere set
MASTER_ADDR, NUM_NODES and NODE_RANK. Accelerate's config files read no variables: these become flags.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from recipe.errors import JobError
from recipe.run.launch import REPOSITORY_DIR, count_gpus, read_cluster

FOREIGN = {"WORLD_SIZE", "RANK", "LOCAL_RANK"}
"""A platform's own count of processes, which ours would take for theirs."""


def main() -> None:
    """Become `accelerate launch` with the cluster's flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--config_file", default=str(REPOSITORY_DIR / "accelerate_configs" / "multi_node.yaml")
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="train.py and its arguments")
    arguments = parser.parse_args()
    try:
        cluster = read_cluster(os.environ)
    except JobError as error:
        sys.exit(str(error))
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", arguments.config_file]
    os.chdir(REPOSITORY_DIR)
    flags = cluster.flags(count_gpus(os.environ))
    os.execve(sys.executable, [*launcher, *flags, *arguments.command], environment)  # noqa: S606 - ours


if __name__ == "__main__":
    main()
