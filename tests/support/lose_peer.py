"""One process of two in a run; the second one is killed, the first then waits for it."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from accelerate import PartialState

from recipe.arguments import SourceArguments
from recipe.training.attempt import Run

state = PartialState(cpu=True)
with Run(Path(sys.argv[1]), SourceArguments(), dict(os.environ)) as run:
    state.wait_for_everyone()
    if not run.is_main:
        os.kill(os.getpid(), signal.SIGKILL)
    state.wait_for_everyone()
