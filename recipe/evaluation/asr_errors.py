"""WER and CER, raw and normalised, as a metric of `evaluate`; needs no network."""

from collections.abc import Mapping, Sequence

import evaluate  # type: ignore[import-untyped]  # the package ships no types
from datasets import Features, Value

from recipe.evaluation.metrics import score_texts
from recipe.evaluation.normalization import Normalizer

CITATION = """\
@inproceedings{morris2004and,
  title = {From {WER} and {RIL} to {MER} and {WIL}: improved evaluation measures for connected speech
           recognition},
  author = {Morris, Andrew and Maier, Viktoria and Green, Phil},
  booktitle = {Interspeech},
  year = {2004}
}
"""

DESCRIPTION = """\
Word and character error rates of transcripts, on the text as written and on the text after Whisper's
normalisation, with the substitutions, deletions and insertions behind them. Needs no network.
"""

INPUTS = """
Args:
    predictions: hypotheses, one text per window.
    references: the texts of the captions, in the same order; an empty text where nobody speaks.
    language: code or English name of the language of the texts; None: no rule of a language applies.
    spellings: British to American spellings (a checkpoint's normalizer.json), used for English.
    normalizer: "whispertrain", or "whisper" for Whisper's own normalisers.

Returns:
    wer, cer, wer_normalized, cer_normalized: fractions, of the whole corpus.
    substitutions, deletions, insertions, reference_words, and the same with _normalized: counts of words.
"""


class AsrErrors(evaluate.Metric):  # type: ignore[misc]  # the base class is untyped
    """Corpus WER and CER, raw and normalised, with their counts."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=Features({"predictions": Value("string"), "references": Value("string")}),
            reference_urls=["https://github.com/jitsi/jiwer"],
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str],
        language: str | None = None,
        spellings: Mapping[str, str] | None = None,
        normalizer: str = "whispertrain",
    ) -> dict[str, float | int]:
        chosen = Normalizer(normalizer, spellings or {})
        return score_texts(references, predictions, language=language, normalizer=chosen).as_dict()
