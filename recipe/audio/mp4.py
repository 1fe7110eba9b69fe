"""What the tables of an MP4 or QuickTime file claim, counted before FFmpeg believes it.

FFmpeg allocates for every frame that a table claims, whether the file can hold it or not: 4 KB of file
took 2.9 GB of memory in a test. The boxes are those of ISO/IEC 14496-12, sections 4.2, 8.6 to 8.8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from recipe.errors import AudioError

MAX_FRAMES = 8_000_000
"""Twelve hours of video at 60 frames/s and of AAC at 48 kHz have 4.6 million."""

MAX_BOXES = 1_000_000
"""Twelve hours in fragments of two seconds have about 200,000."""

MAX_DEPTH = 8
"""The tables of a track lie six boxes deep."""

OUTER_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"wide", b"free", b"skip"})
"""Boxes that such a file begins with."""

NESTING_BOXES = frozenset(
    {
        b"moov",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"edts",
        b"moof",
        b"traf",
        b"udta",
        b"wide",
        b"free",
        b"hoov",
    }
)
"""Boxes in which FFmpeg looks for tables; `free` and `hoov` because it finds a disused `moov` there."""


@dataclass
class _Track:
    """What one track, or one fragment of it, claims.

    Attributes:
        num_frames: Entries of its size tables.
        num_edits: Entries of its edit list; each may play all frames again.
        is_pcm: Every frame lasts one sample, so FFmpeg keeps an entry for a chunk of them.
    """

    num_frames: int = 0
    num_edits: int = 0
    is_pcm: bool = False


def is_mp4(head: bytes) -> bool:
    """Whether a file with these first bytes is one of the MP4 family."""
    return head[4:8] in OUTER_BOXES


def check_mp4_tables(file: BinaryIO, num_bytes: int) -> None:
    """Refuse tables that claim more frames than any recording within the limits has.

    Raises:
        AudioError: the tables are damaged, or made to exhaust the memory.
    """
    tracks = [_Track()]
    for num_boxes, (kind, fields) in enumerate(_read_boxes(file, 0, num_bytes, MAX_DEPTH), start=1):
        if kind in {b"trak", b"moof"}:
            tracks.append(_Track())
        _count_claims(tracks[-1], kind, fields)
        if num_boxes > MAX_BOXES or kind == b"cmov":
            raise AudioError("its tables are too many or compressed; export it again, as M4A or FLAC")
    num_frames = sum(track.num_frames * max(1, track.num_edits) for track in tracks if not track.is_pcm)
    if num_frames > MAX_FRAMES:
        raise AudioError(
            f"its tables claim {num_frames:,} frames, expected at most {MAX_FRAMES:,}: it is damaged; "
            "export it again"
        )


def _count_claims(track: _Track, kind: bytes, fields: bytes) -> None:
    """Add what one box claims; its fields are 32-bit numbers, the first one version and flags."""
    numbers = [_to_int(fields[i : i + 4]) for i in range(0, len(fields), 4)]
    match kind, numbers:
        case (b"stsz" | b"stz2", [_, _, count, *_]):
            track.num_frames += count
        case (b"trun", [_, count, *_]):
            track.num_frames += count
        case (b"elst", [_, count, *_]):
            track.num_edits += count
        case (b"stts", [_, num_entries, _, duration, *_]):
            track.is_pcm = num_entries == 1 and duration == 1


def _read_boxes(file: BinaryIO, start: int, end: int, depth: int) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the first 16 bytes of every box between two positions, those inside others included."""
    while depth and start + 8 <= end:
        file.seek(start)
        header = file.read(24)
        num_bytes, kind, num_header_bytes = _to_int(header[:4]), header[4:8], 8
        if num_bytes == 1:
            num_bytes, num_header_bytes = _to_int(header[8:16]), 16
            header += file.read(8)
        elif num_bytes == 0:
            num_bytes = end - start
        if num_bytes < num_header_bytes:
            return
        yield kind, header[num_header_bytes : num_header_bytes + 16]
        box_end = min(start + num_bytes, end)
        if kind in NESTING_BOXES:
            yield from _read_boxes(file, start + num_header_bytes, box_end, depth - 1)
        start = box_end


def _to_int(data: bytes) -> int:
    return int.from_bytes(data, "big")
