"""Folders of sentences in the forms that people bring them, each sentence a sound of its own length."""

from collections.abc import Sequence
from pathlib import Path

from voices import make_voice

from recipe.audio.decoding import encode_flac

SENTENCES = {
    "fr_01": "Le train part à huit heures du matin.",
    "fr_02": "Elle a dit : « oui », puis rien.",
    "de_03": "Straße, Brücke und Überweg sind gesperrt.",
    "pl_04": "Zażółć gęślą jaźń o świcie.",
    "es_05": "¿Dónde está la estación, por favor?",
    "tr_06": "Bugün İstanbul'da hava çok güzel.",
}
"""What is said in each sound."""

SECONDS = 3.0


def write_sounds(folder: Path, names: Sequence[str] = tuple(SENTENCES), seconds: float = SECONDS) -> Path:
    """A sound for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / f"{name}.flac").write_bytes(encode_flac(make_voice(seconds + number / 10)))
    return folder


def write_lines(path: Path, *lines: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
