"""Show the cues of a caption file, and what the reader changed or lost.

python scripts/inspect_captions.py talk.vtt                       # a table, as training sees the file
python scripts/inspect_captions.py talk.srt --language pl --json  # the same for programs
python scripts/inspect_captions.py talk.vtt --raw --json          # as the specification reads it

Exit status 1: the file would not be trained on; the reason is a sentence on standard error.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from recipe.captions.reader import (
    Captions,
    Cue,
    Note,
    decode_captions,
    parse_subrip,
    parse_webvtt,
    read_captions,
)
from recipe.errors import CaptionError


def main() -> int:
    """Print the cues and notes; return the exit status."""
    arguments = parse_arguments()
    try:
        captions = read(arguments)
    except (CaptionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    text = as_json(captions) if arguments.json else as_table(captions.cues, captions.notes)
    # Whatever the terminal's encoding.
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a file of captions in any format")
    parser.add_argument("--language", help="code of the language that the captions are wanted in, such as fr")
    parser.add_argument("--raw", action="store_true", help="as the specification reads it, nothing repaired")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--duration_ms", type=int, help="length of the recording's audio")
    return parser.parse_args()


def read(arguments: argparse.Namespace) -> Captions:
    """The captions that the command line asks for."""
    if arguments.raw:
        cues = read_raw(arguments.file, arguments.language)
        return Captions(cues, (), None, "", len(cues))
    return read_captions(arguments.file, language=arguments.language, duration_ms=arguments.duration_ms)


def read_raw(path: Path, language: str | None) -> tuple[Cue, ...]:
    """The cues as the format's rules give them; a WebVTT file without its signature has none."""
    data = path.read_bytes()
    if path.suffix.lower() == ".srt":
        return tuple(parse_subrip(decode_captions(data, language)))
    return tuple(parse_webvtt(data.decode("utf-8", errors="replace").removeprefix("\ufeff")))


def as_json(captions: Captions) -> str:
    """The cues, the notes, how many there were, and what the file is, as one JSON object."""
    names = ("start_ms", "end_ms", "payload", "text")
    cues = [{"id": cue.identifier, **{name: getattr(cue, name) for name in names}} for cue in captions.cues]
    shown = {
        "cues": cues,
        "notes": [asdict(note) for note in captions.notes],
        "counts": {
            "num_cues_in": captions.num_cues_in,
            "num_cues": len(captions.cues),
            "num_merged": captions.num_merged,
            "num_dropped": captions.num_dropped,
        },
        "format": captions.source_format,
        "encoding": captions.encoding,
        "language": captions.language,
    }
    return json.dumps(shown, indent=1)


def as_table(cues: Iterable[Cue], notes: Iterable[Note]) -> str:
    """The cues a line each, then the notes."""
    rows = [f"{cue.start_ms / 1000:10.3f} {cue.end_ms / 1000:10.3f}  {cue.text!s}" for cue in cues]
    rows += [f"line {note.line}: {note.action}: {note.reason}: {note.excerpt}".rstrip(": ") for note in notes]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
