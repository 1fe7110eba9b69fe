"""One machine of several that prepare a folder's recordings; prints the shards that it wrote itself.

python prepare_part.py DATA_DIR TOKENIZER_FILE OUTPUT_DIR
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings
from recipe.data.sources import list_recordings

data_dir, tokenizer_file, output_dir = map(Path, sys.argv[1:4])


def note_rename(event: str, arguments: tuple[object, ...]) -> None:
    """A shard counts once its report has its name."""
    if event == "os.rename" and str(arguments[1]).endswith(".json"):
        print(Path(str(arguments[1])).stem, flush=True)


sys.addaudithook(note_rename)
recordings = list_recordings(data_dir, "en")
settings = PreparationSettings(tokenizer_file, empty_transcript="skip", no_speech_fraction=0.1)
build_shards(recordings, settings, output_dir, num_workers=1)
