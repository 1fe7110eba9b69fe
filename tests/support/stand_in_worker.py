"""`handler.py` with the stand-in for `train.py`.

python stand_in_worker.py BEHAVIOUR [arguments of the SDK]
python stand_in_worker.py BEHAVIOUR@NUM_PROCESSES …          # below the real launchers of Accelerate
"""

import os
import sys
from functools import partial
from pathlib import Path

from handler import Worker, main
from recipe.run.settings import OperatorSettings
from recipe.worker.process import build_train_command

STAND_IN = str(Path(__file__).with_name("stand_in_train.py"))


def build_command(behaviour: str, arguments_file: Path) -> list[str]:
    behaviour, _, num_processes = behaviour.partition("@")
    if not num_processes:
        return [sys.executable, STAND_IN, behaviour, str(arguments_file)]
    num_gpus = int(num_processes) if int(num_processes) > 1 else 0
    *launcher, script, _ = build_train_command(arguments_file, num_gpus)
    assert script == "train.py"
    return [*launcher, STAND_IN, behaviour, str(arguments_file), "--rank"]


if __name__ == "__main__":
    settings = OperatorSettings.from_environment(os.environ)
    main(Worker(settings, train_command=partial(build_command, sys.argv.pop(1))))
