"""What may become of a file on disk."""

from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], object]


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: Path) -> None:
    """One bit in the middle, which need not break the form of a text."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("a file")


DAMAGES: dict[str, Damage] = {
    "torn": tear,
    "empty": lambda path: path.write_bytes(b""),
    "other form": lambda path: path.write_text('[{"other": "form"}, null, 7]'),
    "other keys": lambda path: path.write_text('{"other": "form"}'),
    "bit-flipped": flip_bit,
    "not UTF-8": lambda path: path.write_bytes(b'{"name": "\xff\xfe\xfa"}'),
    "folder": make_folder,
    "deep": lambda path: path.write_text("[" * 100_000 + "]" * 100_000),
}
"""By name: each changes the file at a path."""
