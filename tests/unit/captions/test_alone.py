"""The caption reader stands alone: a copy of `recipe/captions` with `recipe/errors.py` is all it takes."""

import subprocess
import sys
from pathlib import Path

import recipe

READ_ALONE = """
import sys

class NothingElse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        is_ours = name in ("recipe", "recipe.errors") or f"{name}.".startswith("recipe.captions.")
        libraries = {"regex", "langcodes", "language_data", *sys.stdlib_module_names}
        if not is_ours and name.partition(".")[0] not in libraries:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, NothingElse)

from pathlib import Path
from recipe.captions.reader import read_captions

for path in sys.argv[1:]:
    for cue in read_captions(Path(path)).cues:
        print(cue.start_ms, cue.end_ms, cue.text)
"""


def test_captions_are_read_without_the_rest_of_the_recipe(tmp_path: Path) -> None:
    vtt, srt = tmp_path / "talk.vtt", tmp_path / "talk.srt"
    vtt.write_text("WEBVTT\n\n00:01.000 --> 00:03.000\n<v Ann>Hello there.\n")
    srt.write_text("1\n00:00:03,500 --> 00:00:06,000\nHow are <i>you</i>?\n")
    answer = subprocess.run(
        [sys.executable, "-c", READ_ALONE, str(vtt), str(srt)],
        cwd=Path(recipe.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("1000 3000 Hello there.\n3500 6000 How are you?\n", "")
