#!/bin/bash
# A Slurm job of several nodes: sbatch scripts/clusters/slurm.sh --data_dir /shared/recordings --output_dir /shared/runs/first
# Submit it from the checkout, on a disk that all nodes share. docs/clusters.md says what happens when a node dies.
#SBATCH --job-name=whispertrain
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
# signal: the tasks save and end five minutes before the time is up. requeue: Slurm starts the job again when
# one of its nodes fails.
set -uo pipefail
cd "$SLURM_SUBMIT_DIR" || exit 1

code=0
srun --kill-on-bad-exit=1 .venv/bin/python scripts/launch_node.py train.py "$@" || code=$?

case $code in
    0 | 1 | 3) exit "$code" ;; # finished, refused, finished without a model to publish
esac
if [ "${SLURM_RESTART_COUNT:-0}" -ge 50 ]; then
    exit "$code"
fi
scontrol requeue "$SLURM_JOB_ID" # out of time, or a task was lost: on from the last checkpoint
