"""`handler.py` with the stand-in for `train.py`, or with the real one below the warm parent.

python stand_in_worker.py BEHAVIOUR [arguments of the SDK]
python stand_in_worker.py BEHAVIOUR@NUM_PROCESSES …          # below the real launchers of Accelerate
python stand_in_worker.py train [arguments of the SDK]
python stand_in_worker.py real [arguments of the SDK]         # with the handler's own command
"""

import os
import sys
from functools import partial
from pathlib import Path

from handler import Worker, main
from recipe.run.launch import build_train_command
from recipe.run.settings import OperatorSettings

STAND_IN = str(Path(__file__).with_name("stand_in_train.py"))
WARM_PARENT = str(Path(__file__).with_name("warm_parent.py"))


def build_command(behaviour: str, arguments_file: Path) -> list[str]:
    if behaviour == "train":
        return [sys.executable, WARM_PARENT, "run", "train.py", str(arguments_file)]
    behaviour, _, num_processes = behaviour.partition("@")
    if not num_processes:
        return [sys.executable, STAND_IN, behaviour, str(arguments_file)]
    num_gpus = int(num_processes) if int(num_processes) > 1 else 0
    *launcher, script, _ = build_train_command(arguments_file, num_gpus)
    assert script == "train.py"
    return [*launcher, STAND_IN, behaviour, str(arguments_file), "--rank"]


if __name__ == "__main__":
    settings = OperatorSettings.from_environment(os.environ)
    behaviour = sys.argv.pop(1)
    command = None if behaviour == "real" else partial(build_command, behaviour)
    main(Worker(settings, train_command=command))
