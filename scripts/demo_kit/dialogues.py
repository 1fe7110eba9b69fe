"""Builds recordings of acted dialogue with true captions: speech that is harder than the demo's prompts.

    python -m scripts.demo_kit.dialogues --name cs --output_dir DIR --cache_dir DIR

Debian's packages of the game Fish Fillets hold what two to three actors say in each of its levels, with
effects, emotion and invented words, and the script of it. A level becomes a recording, a line a cue.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from recipe.audio.decoding import AudioLimits, decode_audio
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.run.files import write_json
from scripts.demo_kit.corpus import (
    INDEX_FILE,
    Prompt,
    describe_corpus,
    is_complete,
    join_prompts,
    write_recording,
)
from scripts.demo_kit.packages import run_builder, unpack_debian_packages

PACKAGES = {"cs": ["fillets-ng-data", "fillets-ng-data-cs"], "nl": ["fillets-ng-data", "fillets-ng-data-nl"]}
ORIGIN = {
    "licence": "GPL-2.0",
    "attribution": "Fish Fillets - Next Generation, by ALTAR interactive, Ivo and Pavel Danihelka and others",
    "changes": "The lines of a level were joined with pauses into a recording and re-encoded.",
}
NUM_LEVELS = 20
SEED = 1
MIN_LINES = 8
"""Lines of a level that becomes a recording."""

LINE = re.compile(r'dialogId\("([^"]+)"[^\n]*\)\s*dialogStr\("((?:[^"\\]|\\.)*)"\)')


def build_dialogues(language: str, output_dir: Path, cache_dir: Path) -> Path:
    """A folder of recordings with captions in `output_dir`; one that is complete is left as it is.

    Raises:
        RecipeError: the packages cannot be had.
    """
    index = output_dir / INDEX_FILE
    if is_complete(index, language):
        return output_dir
    root = unpack_debian_packages(PACKAGES[language], cache_dir) / "usr/share/games/fillets-ng"
    output_dir.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(SEED)
    levels = [path.parent for path in sorted(root.glob(f"script/*/dialogs_{language}.lua"))]
    entries: list[dict[str, Any]] = []
    for number in track(random.permutation(len(levels)).tolist(), "Writing recordings"):
        lines = list(read_lines(root, levels[number].name, language))
        if len(lines) >= MIN_LINES and len(entries) < NUM_LEVELS:
            audio = output_dir / f"level-{language}-{levels[number].name}.flac"
            entries.append(write_recording(audio, *join_prompts(lines, random)))
    write_json(index, describe_corpus(language, PACKAGES[language], ORIGIN, entries))
    return output_dir


def read_lines(root: Path, level: str, language: str) -> Iterator[Prompt]:
    """What is said in a level and has a sound, in the order of its script."""
    script = (root / "script" / level / f"dialogs_{language}.lua").read_text(encoding="utf-8")
    for name, text in LINE.findall(script):
        audio = root / "sound" / level / language / f"{name}.ogg"
        if text.strip() and audio.is_file():
            samples = decode_audio(audio, AudioLimits()).samples
            yield Prompt(text.replace('\\"', '"'), np.pad(samples, (0, -len(samples) % SAMPLES_PER_MS)))


if __name__ == "__main__":
    run_builder(build_dialogues, PACKAGES, __doc__)
