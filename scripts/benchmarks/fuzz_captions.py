"""Read mutated caption files and say whether the reader kept its promises.

    python -m scripts.benchmarks.fuzz_captions --num_files 100000 --seed 0

The files are the reproductions of the tests, with bytes flipped, cut, doubled, spliced and filled with
what captions are made of. Promises: no exception but CaptionError, the counts add up, cues are in order
and apart and say something, no text reads as a control token, and no file takes long. Exit status 1: one
of them was broken; the first broken files are saved in the folder for temporary files.
"""

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from functools import partial
from importlib import import_module
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

from recipe.captions.reader import Captions, Cue, read_captions
from recipe.errors import CaptionError
from recipe.run.launch import REPOSITORY_DIR
from scripts.benchmarks.common import build_parser, measure_seconds, run

MAX_SECONDS = 2.0
TABLES = {"caption_cases": "CASES", "format_cases": "FORMATS"}
LANGUAGES = (None, "en", "fr", "pl", "ru", "ar", "th", "ja", "zh")
CONTROL_TOKEN = re.compile(r"<\|[^<>|]*\|>")
TIMINGS = b"00:00:01.000 --> 00:00:02.000\n"
TOKENS = (
    *(b"-->", b"\n", b"\n\n", b"\r", b"\0", b" ", b"1\n", b"WEBVTT\n", b"NOTE\n", b"STYLE\n"),
    *(TIMINGS, TIMINGS.replace(b".", b","), b"99999999999:00:00.000", b"<00:00:01.000>"),
    *(b"<", b">", b"</", b"<c>", b"<v ", b"<|", b"|>", b"<|endoftext|>", b"{\\an8}"),
    *(b"&", b"&amp;", b"&lt;", b"&#", b"&#x110000;"),
    *(
        b"{\\k20}",
        b"{\\p1}",
        b"{1}{1}25\n",
        b"{",
        b"}",
        b"[00:01.00]",
        b"0:00:01.000,0:00:02.000\n",
        b",",
        b"|",
    ),
    *(
        b'"',
        b'"text":',
        b'"start": 1e999',
        b"null",
        b"[[[[",
        b"<p begin='1s'>",
        b"</p>",
        b"<!--",
        b"\x1b$B",
        b'""',
    ),
    *(b"[", b"]", b"(", b")", b">> ", b"A: ", b"- "),
    *(b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", "\u266a\u0301\u200d\u202e".encode()),
)


class Outcome(NamedTuple):
    """What one file did: how it ended, how long it took, and which promise it broke, if any."""

    kind: str
    seconds: float
    broken: str
    data: bytes


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = build_parser(__doc__)
    parser.add_argument("--num_files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_processes", type=int, default=2)
    return parser


def measure(arguments: argparse.Namespace) -> None:
    """Fuzz, print a report, and exit with 1 if a promise was broken."""
    sys.path.insert(0, str(REPOSITORY_DIR / "tests" / "support"))
    cases = [case for name, table in TABLES.items() for case in import_module(name).__dict__[table]]
    work = partial(fuzz_one, seeds=[(case.data, case.suffix) for case in cases], seed=arguments.seed)
    with Pool(arguments.num_processes) as pool:
        outcomes = list(pool.imap_unordered(work, range(arguments.num_files), chunksize=100))
    kinds, slowest = (
        Counter(outcome.kind for outcome in outcomes),
        max(outcome.seconds for outcome in outcomes),
    )
    broken = [outcome for outcome in outcomes if outcome.broken]
    print(f"{len(outcomes)} files: {dict(kinds)}; slowest {slowest:.3f} s; {len(broken)} broken promises")
    for number, outcome in enumerate(broken[:20]):
        path = Path(tempfile.gettempdir()) / f"fuzz_captions_{number}.vtt"
        path.write_bytes(outcome.data)
        print(f"{outcome.broken}: {path}")
    sys.exit(1 if broken else 0)


def fuzz_one(index: int, *, seeds: list[tuple[bytes, str]], seed: int) -> Outcome:
    """What the reader does with the file that `seed` and `index` define."""
    generator = random.Random(f"{seed}-{index}")  # noqa: S311 - reproducible, not secret
    data, suffix = generator.choice(seeds)
    for _ in range(generator.randint(1, 6)):
        data = mutate(data, generator, generator.choice(seeds)[0])
    symbols = frozenset('"()[]:-') if generator.random() < 0.3 else frozenset()
    duration_ms = generator.choice([None, 0, 5_000, 3_600_000])
    language = generator.choice(LANGUAGES)

    def read(path: Path) -> tuple[str, str]:
        try:
            captions = read_captions(
                path, language=language, duration_ms=duration_ms, suppressed_symbols=symbols
            )
        except CaptionError:
            return "refused", ""
        except Exception as error:  # noqa: BLE001 - any other exception is what the fuzzer looks for
            return "raised", f"{type(error).__name__}: {error}"
        return "read", find_broken(captions, duration_ms)

    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        Path(file.name).write_bytes(data)
        (kind, broken), seconds = measure_seconds(partial(read, Path(file.name)))
    wall_seconds = seconds["wall_seconds"]
    broken = broken or "too slow" * (wall_seconds > MAX_SECONDS)
    return Outcome(kind, wall_seconds, broken, data if broken else b"")


def mutate(data: bytes, generator: random.Random, other: bytes) -> bytes:
    """The data with one thing wrong that was not wrong before."""
    at = generator.randint(0, len(data))
    end = min(len(data), at + generator.randint(1, 30))
    token = generator.choice(TOKENS)
    insertion = {
        "token": token,
        "many tokens": token * generator.randint(1, 300),
        "noise": generator.randbytes(generator.randint(1, 4)),
        "doubled": data[at:end] * 2,
        "cut": b"",
        "spliced": other[generator.randint(0, len(other)) :],
        "torn": other[: generator.randint(0, len(other))],
    }
    kind = generator.choice(list(insertion))
    return data[:at] + insertion[kind] + data[at if kind in {"token", "many tokens"} else end :]


def find_broken(captions: Captions, duration_ms: int | None) -> str:
    """The promise that the captions break, or an empty string."""
    if captions.num_cues_in != len(captions.cues) + captions.num_merged + captions.num_dropped:
        return "the counts do not add up"
    if any(earlier.end_ms > later.start_ms for earlier, later in pairwise(captions.cues)):
        return "cues overlap"
    return next(filter(None, (find_broken_by(cue, duration_ms) for cue in captions.cues)), "")


def find_broken_by(cue: Cue, duration_ms: int | None) -> str:
    """The promise that the cue breaks, or an empty string."""
    times = [cue.start_ms, *(word.start_ms for word in cue.words), cue.end_ms]
    if times != sorted(times) or not 0 <= cue.start_ms < cue.end_ms:
        return "the times of a cue are out of order"
    if duration_ms is not None and cue.end_ms > duration_ms:
        return "a cue lies outside the audio"
    if not cue.text or cue.text != " ".join(cue.text.split()) or CONTROL_TOKEN.search(cue.text):
        return "a text is empty, not folded or holds a control token"
    if cue.words and " ".join(word.text for word in cue.words) != cue.text:
        return "the timed words are not the text"
    return ""


if __name__ == "__main__":
    run(measure, parser())
