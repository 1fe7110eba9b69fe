"""Recordings of acted dialogue from a game's files: what is said and has a sound, in its script's order."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from recipe.audio.resampling import SAMPLE_RATE
from scripts.demo_kit.dialogues import read_lines

SCRIPT = """
dialogId("first", "font_small", "Look!")
dialogStr("Podívej, \\"ryba\\"!")

dialogId("silent", "font_big", "Nobody says this.")
dialogStr("Tohle nikdo neřekne.")

dialogId("blank", "font_big", "")
dialogStr(" ")
dialogId("second", "font_big", "Yes.")
dialogStr("Ano.")
"""


def write_level(root: Path) -> NDArray[np.float32]:
    sounds = root / "sound" / "cave" / "cs"
    sounds.mkdir(parents=True)
    (root / "script" / "cave").mkdir(parents=True)
    (root / "script" / "cave" / "dialogs_cs.lua").write_text(SCRIPT)
    tone = np.sin(np.arange(SAMPLE_RATE, dtype=np.float32) / 10)
    for name in ("first", "second", "blank"):
        soundfile.write(sounds / f"{name}.ogg", tone, SAMPLE_RATE)
    return tone


def test_lines_with_words_and_a_sound_are_read_in_order(tmp_path: Path) -> None:
    tone = write_level(tmp_path)
    lines = list(read_lines(tmp_path, "cave", "cs"))
    assert [line.text for line in lines] == ['Podívej, "ryba"!', "Ano."]
    assert [line.duration_ms for line in lines] == pytest.approx([len(tone) * 1000 / SAMPLE_RATE] * 2, abs=50)
