"""Show the cues of a caption file, and what the reader changed or lost.

python scripts/inspect_captions.py talk.vtt                # a table, as training sees the file
python scripts/inspect_captions.py talk.vtt --json         # the same for programs
python scripts/inspect_captions.py talk.vtt --raw --json   # as the specification reads it

Exit status 1: the file is not captions; the reason is on standard error.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from recipe.captions.reader import Cue, Note, decode_captions, parse_subrip, parse_webvtt, read_captions
from recipe.errors import CaptionError


def main() -> int:
    """Print the cues and notes; return the exit status."""
    arguments = parse_arguments()
    try:
        cues, notes = read(arguments)
    except (CaptionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    text = as_json(cues, notes) if arguments.json else as_table(cues, notes)
    # Whatever the terminal's encoding.
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a WebVTT or SubRip file")
    parser.add_argument("--raw", action="store_true", help="as the specification reads it, nothing repaired")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--duration_ms", type=int, help="length of the recording's audio")
    return parser.parse_args()


def read(arguments: argparse.Namespace) -> tuple[tuple[Cue, ...], tuple[Note, ...]]:
    """The cues and notes that the command line asks for."""
    if arguments.raw:
        return read_raw(arguments.file), ()
    captions = read_captions(arguments.file, duration_ms=arguments.duration_ms)
    return captions.cues, captions.notes


def read_raw(path: Path) -> tuple[Cue, ...]:
    """The cues as the format's rules give them; a WebVTT file without its signature has none."""
    data = path.read_bytes()
    if path.suffix.lower() == ".srt":
        return tuple(parse_subrip(decode_captions(data)))
    return tuple(parse_webvtt(data.decode("utf-8", errors="replace").removeprefix("\ufeff")))


def as_json(cues: Iterable[Cue], notes: Iterable[Note]) -> str:
    """The cues and notes as one JSON object."""
    names = ("start_ms", "end_ms", "payload", "text")
    shown = [{"id": cue.identifier, **{name: getattr(cue, name) for name in names}} for cue in cues]
    return json.dumps({"cues": shown, "notes": [asdict(note) for note in notes]}, indent=1)


def as_table(cues: Iterable[Cue], notes: Iterable[Note]) -> str:
    """The cues a line each, then the notes."""
    rows = [f"{cue.start_ms / 1000:10.3f} {cue.end_ms / 1000:10.3f}  {cue.text!s}" for cue in cues]
    rows += [f"line {note.line}: {note.action}: {note.reason}: {note.excerpt}".rstrip(": ") for note in notes]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
