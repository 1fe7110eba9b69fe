"""Speech without sound: words at known times, and a timer that knows them."""

from collections.abc import Sequence

import numpy as np

from recipe.screening.placement import Sound
from recipe.screening.word_times import Span, TimedWord

WORD_MS = 320
PAUSE_MS = 640


def speak(
    sentences: Sequence[Sequence[str]], language: str, start_ms: int = 960
) -> tuple[Sound, list[TimedWord]]:
    """The sound of sentences with pauses between them, and its words as a model writes them."""
    words, voice = [], []
    for sentence in sentences:
        first_ms = start_ms
        for word in sentence:
            words.append(TimedWord(word, start_ms, start_ms + WORD_MS, 0.9, start_ms, start_ms + WORD_MS))
            start_ms += WORD_MS
        voice.append((first_ms, start_ms))
        start_ms += PAUSE_MS
    return Sound(np.zeros(16 * start_ms, np.int16), voice, language), words


class StandInTimer:
    """Transcribes what it is told, and finds other words evenly over the time that they may have."""

    def __init__(self, transcript: Sequence[TimedWord], probability: float = 0.5) -> None:
        self._transcript = transcript
        self._probability = probability
        self.num_transcribed = 0
        self.num_aligned = 0

    def transcribe(self, _samples: object, spans: Sequence[Span], _language: str) -> list[TimedWord]:
        """The words that begin in the spans."""
        self.num_transcribed += len(spans)
        return [
            word for word in self._transcript if any(start <= word.start_ms < end for start, end in spans)
        ]

    def align(self, _samples: object, span: Span, words: Sequence[str], _language: str) -> list[TimedWord]:
        """The words, each as long as the others."""
        self.num_aligned += 1
        edges = np.linspace(*span, len(words) + 1).astype(int).tolist()
        return [
            TimedWord(word, start, end, self._probability, start, end)
            for word, start, end in zip(words, edges, edges[1:], strict=False)
        ]
