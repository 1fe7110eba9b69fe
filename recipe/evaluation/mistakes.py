"""What a model still gets wrong: words taken for others, words never got, names and numbers, and style."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jiwer
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.evaluation.metrics import ErrorCounts, count_word_errors
from recipe.evaluation.normalization import OURS, Normalizer, fold_text, split_words

MAX_LISTED = 30
"""Rows of a table, the most frequent first."""

MIN_TIMES = 2
"""Times that a word is said before it counts as one that is never got."""

SENTENCE_END = regex.compile(r"\p{Sentence_Terminal}[\p{Pe}\p{Pf}\"']*$")
OPENING = regex.compile(r"^[\p{P}\p{S}]+")
PUNCTUATION = regex.compile(r"[\p{P}\p{S}]")
APOSTROPHE = regex.compile(r"['\u2019]")


class Text(NamedTuple):
    """A window's reference and hypothesis, and the code of the language that they are written in."""

    reference: str
    hypothesis: str
    language: str | None


class Step(NamedTuple):
    """A step of an alignment: the words of the reference and those in their place, either of them empty.

    Its kind is "equal", "substitute", "insert" or "delete".
    """

    kind: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Style:
    """Why words as written are wrong: errors that are gone in turn once a thing is no longer counted.

    Attributes:
        written: Errors of words as written.
        without_case: Errors left without case.
        without_punctuation: Errors left without punctuation and symbols either.
        normalized: Errors left after normalisation: numerals, contractions and spellings are alike then.
    """

    written: ErrorCounts
    without_case: ErrorCounts
    without_punctuation: ErrorCounts
    normalized: ErrorCounts


def align_words(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[Step]:
    """The steps of the best alignment, words of equal ones joined by a space.

    A substitution of several words is a step for each of them.
    """
    if not reference:
        if hypothesis:
            yield Step("insert", "", " ".join(hypothesis))
        return
    output = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    for chunk in output.alignments[0]:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        written = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "substitute":
            yield from (Step("substitute", *pair) for pair in zip(said, written, strict=True))
        else:
            yield Step(chunk.type, " ".join(said), " ".join(written))


def mark_differences(text: Text) -> list[Step]:
    """The alignment of the words as written; case and punctuation make no difference."""
    said, written = (split_words(fold_text(part), text.language) for part in text[:2])
    steps, places = [], [0, 0]
    for step in align_words(*([_fold_style(word) for word in words] for words in (said, written))):
        lengths = [len(part.split(" ")) if part else 0 for part in (step.reference, step.hypothesis)]
        parts = [
            words[place : place + length]
            for words, place, length in zip((said, written), places, lengths, strict=True)
        ]
        places = [place + length for place, length in zip(places, lengths, strict=True)]
        letters = PUNCTUATION.sub("", step.reference + step.hypothesis).strip()
        steps.append(Step(step.kind if letters else "equal", " ".join(parts[0]), " ".join(parts[1])))
    return steps


def describe_mistakes(texts: Sequence[Text], normalizer: Normalizer = OURS) -> dict[str, Any]:
    """Tables of a model's mistakes, counted in normalised words; ready for JSON."""
    substituted: Counter[tuple[str, str]] = Counter()
    omitted: Counter[str] = Counter()
    inserted: Counter[str] = Counter()
    said: Counter[str] = Counter()
    got: Counter[str] = Counter()
    for text in texts:
        words = [split_words(normalizer(part, text.language), text.language) for part in text[:2]]
        said.update(words[0])
        for step in align_words(*words):
            if step.kind == "substitute":
                substituted[step.reference, step.hypothesis] += 1
            elif step.kind == "delete":
                omitted.update(step.reference.split())
            elif step.kind == "insert":
                inserted.update(step.hypothesis.split())
            else:
                got.update(step.reference.split())
    never = {word: times for word, times in said.items() if times >= MIN_TIMES and not got[word]}
    return {
        "substituted": [
            {"said": pair[0], "written": pair[1], "times": times} for pair, times in _first(substituted)
        ],
        "omitted": [{"word": word, "times": times} for word, times in _first(omitted)],
        "inserted": [{"word": word, "times": times} for word, times in _first(inserted)],
        "never_got": [{"word": word, "times": times} for word, times in _first(Counter(never))],
        "names_and_numbers": _count_names(texts),
        "style": {name: counts.rate for name, counts in vars(judge_style(texts, normalizer)).items()},
    }


def _first(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """The most frequent, in an order that does not depend on that of the windows."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_LISTED]


def judge_style(texts: Sequence[Text], normalizer: Normalizer = OURS) -> Style:
    """The errors of all windows, as written and with ever less counted."""

    def count(text: Text, form: Any) -> ErrorCounts:
        return count_word_errors(*(split_words(form(part), text.language) for part in text[:2]))

    def total(form_of: Any) -> ErrorCounts:
        return sum((count(text, form_of(text)) for text in texts), ErrorCounts())

    def without_case(text: str) -> str:
        return fold_text(text).casefold()

    def without_punctuation(text: str) -> str:
        return fold_text(PUNCTUATION.sub(" ", without_case(text)))

    return Style(
        total(lambda _: fold_text),
        total(lambda _: without_case),
        total(lambda _: without_punctuation),
        total(lambda text: lambda part: normalizer(part, text.language)),
    )


def _count_names(texts: Sequence[Text]) -> Mapping[str, int | float]:
    """How many of the words that look like names, and of those with figures, are got."""
    num: Counter[str] = Counter()
    for text in texts:
        words = split_words(fold_text(text.reference), text.language)
        kinds = list(_kinds_of(words))
        place = 0
        for step in mark_differences(text):
            length = len(step.reference.split(" ")) if step.reference else 0
            for kind in kinds[place : place + length]:
                if kind:
                    num[kind] += 1
                    num[f"{kind} got"] += step.kind == "equal"
            place += length
    return {
        "names": num["name"],
        "names_got": num["name got"],
        "numbers": num["number"],
        "numbers_got": num["number got"],
    }


def _kinds_of(words: Sequence[str]) -> Iterator[str]:
    """Of each word: "name" for a capital inside a sentence, "number" for a digit, else ""."""
    begins = True
    for word in words:
        letters = OPENING.sub("", word)
        if any(letter.isdigit() for letter in word):
            yield "number"
        elif not begins and letters[:1].isupper() and len(APOSTROPHE.split(letters)[0]) > 1:  # not I'm
            yield "name"
        else:
            yield ""
        begins = bool(SENTENCE_END.search(word))


def _fold_style(word: str) -> str:
    """A word without case and punctuation; what is nothing but these stays."""
    return "".join(PUNCTUATION.sub("", word).casefold().split()) or word
