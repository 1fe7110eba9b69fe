"""One process of two in a run; the second one is killed, the first then waits for it.

python lose_peer.py OUTPUT_DIR
"""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from accelerate import PartialState

from recipe.training.arguments import parse_arguments
from recipe.training.attempt import Attempt, set_up_process

set_up_process()
arguments = parse_arguments(["--output_dir", sys.argv[1], "--ddp_timeout", "77"])
with Attempt(arguments, os.environ) as attempt:
    state = PartialState()
    assert state.num_processes == 2
    group = torch.distributed.distributed_c10d._get_default_group()
    timeout = group._get_backend(state.device).options._timeout
    assert timeout == timedelta(seconds=77), "nobody waits longer for a process that fell silent"
    state.wait_for_everyone()
    if not attempt.is_main:
        os.kill(os.getpid(), signal.SIGKILL)
    state.wait_for_everyone()
