"""One process of two in a run; the second one is killed, the first then waits for it.

python lose_peer.py OUTPUT_DIR
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from accelerate import PartialState

from recipe.training.arguments import parse_arguments
from recipe.training.attempt import Attempt, set_up_process

set_up_process()
with Attempt(parse_arguments(["--output_dir", sys.argv[1]]), os.environ) as attempt:
    state = PartialState()
    assert state.num_processes == 2
    state.wait_for_everyone()
    if not attempt.is_main:
        os.kill(os.getpid(), signal.SIGKILL)
    state.wait_for_everyone()
