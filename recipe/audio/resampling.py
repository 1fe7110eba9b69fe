"""Decoded frames become 16 kHz mono blocks, each at the sample where its timestamp puts it.

Within a run of frames that follow one another the samples are simply counted, so jitter in the timestamps
costs nothing. A new run begins where the format or the timestamps break, and its first sample is placed
anew, so that errors never add up.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import ArgumentError
from numpy.typing import NDArray

from recipe.errors import AudioError

SAMPLE_RATE = 16_000
SAMPLES_PER_MS = SAMPLE_RATE // 1000

TOLERANCE = 50 * SAMPLES_PER_MS
"""Disagreement that is jitter: Matroska rounds timestamps to 1 ms, live recorders vary by tens of ms."""

MAX_OVERLAP = 1_000 * SAMPLES_PER_MS
"""Timestamps that go back by more belong to a clock that was reset, not to sound sent twice."""

MAX_GAP = 600_000 * SAMPLES_PER_MS
"""Timestamps that leap by more belong to a clock that was reset, not to a hole in the recording."""


class Timeline:
    """The sound of one stream, placed on its container's presentation time.

    Args:
        origin: The timestamp that is sample 0, in seconds.
    """

    def __init__(self, origin: Fraction) -> None:
        self.num_samples = 0  # given out so far: the position of the next one
        self._origin = round(origin * SAMPLE_RATE)
        self._run: _Run | None = None
        self._gaps: list[int] = []  # in samples; an overlap is a gap below zero
        self._num_resets = 0

    def place_all(self, frames: Iterator[AudioFrame]) -> Iterator[NDArray[np.int16]]:
        """int16 mono blocks at 16 kHz of about a second each, without a hole from sample 0 on."""
        for frame in frames:
            yield from self._place(frame)
        yield from self._finish()

    def _place(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        position = self._locate(frame)
        run = self._run
        if run is None or not run.accepts(frame, position):
            yield from self._finish()
            yield from self._begin_run(frame, position, is_first=run is None)
        assert self._run is not None
        yield from self._count(self._run.convert(frame))

    def _finish(self) -> Iterator[NDArray[np.int16]]:
        if self._run is not None:
            yield from self._count(self._run.convert(None))

    def describe(self) -> list[str]:
        """What was repaired, a sentence each."""
        notes = []
        for gaps, action in (
            ([gap for gap in self._gaps if gap > 0], "gaps in its timestamps were filled with silence"),
            ([-gap for gap in self._gaps if gap < 0], "overlaps in its timestamps were dropped"),
        ):
            if gaps:
                notes.append(f"{len(gaps)} {action}, {sum(gaps) / SAMPLE_RATE:.2f} s in all")
        if self._num_resets:
            notes.append(
                f"its timestamps jump too far to be a gap ({self._num_resets} times); the sound was joined "
                "there, so captions may be off"
            )
        return notes

    def _locate(self, frame: AudioFrame) -> int | None:
        """The sample at which the frame's timestamp puts it, if it has one."""
        pts, unit = frame.pts, frame.time_base
        if pts is None or unit is None:
            return None
        return round(pts * unit.numerator * SAMPLE_RATE / unit.denominator) - self._origin

    def _begin_run(
        self, frame: AudioFrame, position: int | None, *, is_first: bool
    ) -> Iterator[NDArray[np.int16]]:
        gap = 0 if position is None else position - self.num_samples
        if not -(MAX_GAP if is_first else MAX_OVERLAP) <= gap <= MAX_GAP:
            self._origin += gap
            self._num_resets += 1
            gap = 0
        if abs(gap) > TOLERANCE and not is_first:
            self._gaps.append(gap)
        self._run = _Run(frame, start=self.num_samples + gap, num_to_drop=max(-gap, 0))
        yield from self._count(iter([np.zeros(max(gap, 0), dtype=np.int16)]))

    def _count(self, blocks: Iterator[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        for block in blocks:
            if len(block):
                self.num_samples += len(block)
                yield block


class _Run:
    """Frames of one format that follow one another without a break.

    Args:
        frame: The first of them.
        start: Its position, in samples at 16 kHz.
        num_to_drop: Samples at 16 kHz that lie before the end of the run before, or before time 0.
    """

    def __init__(self, frame: AudioFrame, start: int, num_to_drop: int) -> None:
        self._format = _format_of(frame)
        self._rate = frame.sample_rate
        self._start = start
        self._num_to_drop = num_to_drop
        self._num_source_samples = 0  # at the rate of the frames
        self._waiting = AudioFifo()  # resampled a second at a time: frames are short, and calls are dear
        self._resampler = AudioResampler(
            format="s16", layout="mono", rate=SAMPLE_RATE, frame_size=SAMPLE_RATE
        )

    def accepts(self, frame: AudioFrame, position: int | None) -> bool:
        """Whether the frame is the next one of this run, by its format and its position."""
        next_position = self._start + self._num_source_samples * SAMPLE_RATE // self._rate
        return _format_of(frame) == self._format and (
            position is None or abs(position - next_position) <= TOLERANCE
        )

    def convert(self, frame: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
        """The 16 kHz mono blocks that are ready with this frame, the rest with None."""
        if frame is not None:
            self._num_source_samples += frame.samples
            frame.pts = None  # the position is ours to keep
            self._waiting.write(frame)
            if self._waiting.samples < self._rate:
                return
        second = self._waiting.read()
        try:
            resampled_frames = self._resampler.resample(second) if second else []
            resampled_frames += self._resampler.resample(None) if frame is None else []
        except ArgumentError as error:
            raise AudioError(f"its {self._format[1]} cannot be mixed; mix it down to mono") from error
        for resampled in resampled_frames:
            block = resampled.to_ndarray()[0]
            num_dropped = min(self._num_to_drop, len(block))
            self._num_to_drop -= num_dropped
            yield block[num_dropped:]


def _format_of(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
