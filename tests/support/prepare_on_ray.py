"""Ray prepares a folder's recordings while its workers are killed; prints how many were.

python prepare_on_ray.py DATA_DIR MODEL_DIR OUTPUT_DIR
"""

import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.data.preparation_on_ray import build_shards_on_ray
from recipe.data.recording import PreparationSettings
from recipe.data.sources import list_recordings

MAX_KILLS = 3

data_dir, model_dir, output_dir = map(Path, sys.argv[1:4])
is_over = threading.Event()
killed: list[int] = []


def kill_workers() -> None:
    """Kill a worker that holds a claim, again and again."""
    while len(killed) < MAX_KILLS and not is_over.wait(0.05):
        for claim in output_dir.glob("claims/*.claim-*"):
            with suppress(OSError, psutil.Error, IndexError):
                pid = int(claim.read_text().split()[1])
                if pid not in killed and len(killed) < MAX_KILLS:
                    psutil.Process(pid).kill()
                    killed.append(pid)


threading.Thread(target=kill_workers, daemon=True).start()
settings = PreparationSettings(model_dir / "tokenizer.json", empty_transcript="skip")
build_shards_on_ray(list_recordings(data_dir, "en"), settings, output_dir)
is_over.set()
print(len(killed))
