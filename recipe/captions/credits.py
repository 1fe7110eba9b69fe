"""Lines that say who made the captions: nobody says them.

They stand where a file begins or ends, in the first or last cues; elsewhere the same words are speech.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.vocabulary import CREDIT_NOUNS, CREDIT_PHRASES

CREDIT = "it names who made the captions, and nobody says that"

_NUM_EDGE_CUES = 5
_MAX_CHARS = 300
_MAX_WORDS = 14
_MAX_WORDS_WITHOUT_COLON = 5
_DECORATION = (
    " \t-\u2013\u2014=~*_#|<>[](){}\u266a\u266b\u2605\u2606\u2022.\u3010\u3011\u300a\u300b\uff08\uff09\"'"
)
_AFTER_NOUN = regex.compile(
    r"\s*[:\uff1a\u00a9|\u2013-]|\s+(?:by|von|par|por|de|di|da|door|av|af|przez|od|od|by)\b|\s+[\p{Lu}\p{N}\p{Lo}]|\s*$"
    r"|\s*[\u7ec4\u7d44\u7531]"
)
_CJK_CREDIT = regex.compile(
    r"(?:\u5b57\u5e55|\u8b6f|\u8bd1|\u7ffb\u8a33|\uc790\ub9c9).{0,12}"
    r"(?:\u63d0\u4f9b|\u5fd7\u613f\u8005|\u5fd7\u9858\u8005|\u5236\u4f5c|\u88fd\u4f5c|\u4f5c\u6210|\u5b57\u5e55\u7ec4|\u5b57\u5e55\u7d44|\u793e\u533a|\u793e\u5340|\uc81c\uc791|\uc81c\uacf5|by\b)"
)
_ADDRESS = regex.compile(
    r"(?:https?://|www\.)\S+|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|info|tv|io|de|fr|es|it|pt|br|pl|cz|ru|ua|tr|nl|se|gr|ro|hu|cn|jp|kr|example)(?:/\S*)?",
    regex.IGNORECASE,
)
_SITES = regex.compile(
    r"\b(?:amara\.org|opensubtitles|addic7ed|subscene|podnapisi\.|napiprojekt|napisy24|titlovi\.com|titulky\.com|legendas\.tv"
    r"|turkcealtyazi|feliratok\.|hosszupuska|subs4free|subztv|subdivx|tusubtitulo|argenteam|italiansubs|itasa|zimuku"
    r"|shooter\.cn|yyets|assrt\.net|subhd|phudeviet|ktuvit|torec\.net|wizdom\.xyz|yify|yts\.|elsubtitle|isubtitles"
    r"|subtitlecat|tvsubtitles|undertexter\.se|ondertitels?\.nl|bierdopje|regielive|subs\.ro|subsunacs|subtitri\.net)",
    regex.IGNORECASE,
)


def find_credits(texts: Sequence[str]) -> frozenset[int]:
    """Return the indices of the texts that are credits, of the first and the last few of a file."""
    indices = range(len(texts))
    edges = {*indices[:_NUM_EDGE_CUES], *indices[-_NUM_EDGE_CUES:]}
    return frozenset(index for index in edges if is_credit(texts[index]))


def is_credit(text: str) -> bool:
    """Tell whether a cue's text names who made the captions, or an address where to find them."""
    if len(text) > _MAX_CHARS:
        return False
    lines = [line.strip(_DECORATION) for line in text.split("\n")]
    first, *rest = [line for line in lines if line] or [""]
    if all(_is_address(line) for line in (first, *rest)):
        return bool(first)
    return _names_maker(first) and all(_may_follow(line) for line in rest)


def _names_maker(line: str) -> bool:
    num_words = len(line.split())
    if num_words > _MAX_WORDS or line.endswith(("?", "!", "\uff1f", "\uff01")):
        return False
    if CREDIT_PHRASES.length_at_start(line) or _SITES.search(line) or _CJK_CREDIT.search(line):
        return True
    rest = line[CREDIT_NOUNS.length_at_start(line) :]
    if rest == line or not _AFTER_NOUN.match(rest):
        return False
    return rest.lstrip().startswith((":", "\uff1a", "\u00a9")) or num_words <= _MAX_WORDS_WITHOUT_COLON


def _may_follow(line: str) -> bool:
    """Tell whether a line below a credit goes on with it: a name or an address, not a sentence."""
    return (
        _names_maker(line) or _is_address(line) or (len(line.split()) <= 6 and line[:1] == line[:1].upper())
    )


def _is_address(line: str) -> bool:
    return bool(_ADDRESS.fullmatch(line)) or bool(_SITES.search(line) and len(line.split()) <= _MAX_WORDS)
