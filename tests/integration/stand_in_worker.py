"""`handler.py` with the stand-in for `train.py`: python stand_in_worker.py BEHAVIOUR [arguments of the SDK]."""

import os
import sys
from pathlib import Path

from handler import Worker, main
from recipe.settings import OperatorSettings

if __name__ == "__main__":
    behaviour = sys.argv.pop(1)
    stand_in = Path(__file__).with_name("stand_in_train.py")
    main(
        Worker(
            OperatorSettings.from_environment(os.environ),
            train_command=lambda arguments_file: [
                sys.executable,
                str(stand_in),
                behaviour,
                str(arguments_file),
            ],
        )
    )
