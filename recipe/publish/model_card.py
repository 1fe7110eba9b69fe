"""The model card: README.md with the metadata that the hub reads, and the figures that a reader wants.

Metadata follows https://huggingface.co/docs/hub/model-cards; rates are percent here, fractions elsewhere.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.evaluation.keywords import GLOSSARY_COLUMNS, tabulate_glossary
from recipe.evaluation.long_form_table import VIEW_TITLES, describe_view, describe_word_times, tabulate
from recipe.evaluation.normalization import NORMALIZER_LABELS
from recipe.publish.metadata import ReleaseMetadata

RATES = ("wer", "cer")
HUB_CODES = {"jw": "jv"}
"""Codes of Whisper that ISO 639 has withdrawn."""


def format_model_card(metadata: ReleaseMetadata, model_name: str) -> str:
    """Content of README.md: the hub's metadata, results before and after, how to use it, how it was made."""
    sections = {"Results": _format_results(metadata), "Use": _format_usage(metadata)}
    sections |= {
        "Names and terms": _format_glossary(metadata.glossary),
        "Other runtimes": _format_exports(metadata.exports),
        VIEW_TITLES[metadata.long_form.get("view", "whole")]: _format_long_form(metadata.long_form),
        "Other speech": _format_other_speech(metadata.other_speech),
        "Weights": _format_selection(metadata.weight_selection),
        "Data": _format_table("Count", metadata.dataset),
        "Training": _format_table("Setting", _list_settings(metadata)),
    }
    sections |= {
        "Versions": _format_table("Library", metadata.versions),
        "Limits": _describe_limits(metadata),
    }
    header = _build_metadata(metadata, model_name).to_yaml()
    head = f"---\n{header}\n---\n\n# {model_name}\n\n{_describe(metadata)}"
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]) + "\n"


def pair_rates(figures: Mapping[str, Any]) -> Iterator[tuple[str, float | None, float]]:
    """Each error rate that was measured after training: its name, and it before and after, as fractions."""
    for name, after in figures.items():
        if "_after" not in name or not name.startswith(RATES) or after is None or not math.isfinite(after):
            continue
        before = figures.get(name.replace("_after", "_before"))
        yield (
            name.replace("_after", ""),
            before if before is not None and math.isfinite(before) else None,
            after,
        )


def _build_metadata(metadata: ReleaseMetadata, model_name: str) -> ModelCardData:
    rates = list(pair_rates(metadata.figures))
    results = [_build_result(rate, after) for rate, _, after in rates]
    return ModelCardData(
        language=_hub_codes(metadata.languages),
        license=metadata.license,
        base_model=metadata.base_hub_id,
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["whisper", "whisper-fine-tuned"],
        metrics=[rate for rate in RATES if any(name.startswith(rate) for name, _, _ in rates)] or None,
        model_name=model_name if results else None,
        eval_results=results or None,
    )


def _hub_codes(languages: Sequence[str]) -> str | list[str] | None:
    """The codes as the hub wants them: one alone is no list."""
    codes = [HUB_CODES.get(code, code) for code in languages]
    return codes[0] if len(codes) == 1 else codes or None


def _build_result(rate: str, fraction: float) -> EvalResult:
    return EvalResult(
        task_type="automatic-speech-recognition",
        task_name="Speech recognition",
        dataset_type="private",
        dataset_name="Test recordings",
        metric_type=rate[:3],
        metric_name=_label(rate),
        metric_value=round(100 * fraction, 2),
    )


def _label(rate: str) -> str:
    """`wer_normalized` → `WER, normalized`."""
    name, _, variant = rate.partition("_")
    return f"{name.upper()}, {variant.replace('_', ' ')}" if variant else name.upper()


def _describe(metadata: ReleaseMetadata) -> str:
    names = [LANGUAGES[code].title() for code in metadata.languages]
    speech = f"{' and '.join(filter(None, [', '.join(names[:-1]), *names[-1:]]))} speech".strip()
    work = "translation into English" if metadata.task == "translate" else "transcription"
    base = (
        f"[{metadata.base_name}](https://huggingface.co/{metadata.base_name})"
        if metadata.base_hub_id
        else metadata.base_name
    )
    return f"Whisper, fine-tuned from {base} for {work} of {speech}."


def _format_results(metadata: ReleaseMetadata) -> str:
    rows = [
        f"| {_label(rate)} | {'n/a' if before is None else f'{before:.2%}'} | {after:.2%} |"
        for rate, before, after in pair_rates(metadata.figures)
    ]
    if not rows:
        return "No recordings were held out, so nothing was measured: judge the model on your own recordings."
    sentence = metadata.comparison.get("sentence", "")
    what = (
        "Error rates of the weights as they are released, on test speech that nothing was trained on or "
        "chosen by; lower is better."
    )
    if label := NORMALIZER_LABELS.get(str(metadata.figures.get("normalizer"))):
        what += f" Normalized, here and below: by {label}."
    head = f"{sentence}\n\n{what}\n\n".lstrip()
    return head + "\n".join(["| Rate | Base model | This model |", "|---|---:|---:|", *rows])


def _format_long_form(long_form: Mapping[str, Any]) -> str:
    if not long_form:
        return ""
    rows = [f"| {' | '.join(row)} |" for row in tabulate(long_form)]
    head = (
        f"{describe_view(long_form)} {long_form['comparison']['sentence']} Lower is better but for the share "
        "of starts.\n\n"
    )
    table = head + "\n".join(["| Figure | Base model | This model |", "|---|---:|---:|", *rows])
    return "\n\n".join(filter(None, [table, describe_word_times(long_form)]))


def _format_glossary(glossary: Mapping[str, Any]) -> str:
    code = (
        '```python\nterms = "Frida Kahlo, Coyoacán, tehuana"\n\n'
        "# transformers: a tensor on the model's device\n"
        'prompt_ids = recogniser.tokenizer.get_prompt_ids(terms, return_tensors="pt")\n'
        'recogniser("recording.wav", return_timestamps=True, generate_kwargs={"prompt_ids": prompt_ids})\n\n'
        "# faster-whisper, whose prompt has them in every window\n"
        'model.transcribe("recording.wav", hotwords=terms)\n```'
    )
    what = (
        "Names and terms that are likely to be said may stand in the prompt, between commas, up to about 30."
    )
    head = f"{what}\n\n{code}"
    if not glossary:
        return head
    rows = [f"| {' | '.join(row)} |" for row in tabulate_glossary(glossary)]
    columns = ("Terms in the prompt", *(column.capitalize() for column, _, _ in GLOSSARY_COLUMNS))
    return f"{head}\n\n{glossary['sentence']}\n\n" + "\n".join(
        [f"| {' | '.join(columns)} |", f"|---{'|---:' * len(GLOSSARY_COLUMNS)}|", *rows]
    )


def _format_other_speech(sets: Sequence[Mapping[str, Any]]) -> str:
    if not sets:
        return ""
    rows = [
        f"| {item['name']} | {item['comparison']['num_words']:,} | {item['wer_normalized_before']:.2%} | "
        f"{item['wer_normalized_after']:.2%} | {_format_interval(item['comparison']['after_interval'])} | "
        f"{item['comparison']['verdict']} |"
        for item in sets
    ]
    head = "Normalised WER on speech that was not trained on: what training cost, or gained, elsewhere.\n\n"
    columns = ("Set", "Words", "Base model", "This model", "95 % interval", "")
    return head + "\n".join([f"| {' | '.join(columns)} |", "|---|---:|---:|---:|---|---|", *rows])


def _format_interval(interval: Sequence[float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def _format_selection(selection: Mapping[str, Any]) -> str:
    if not selection:
        return ""
    candidates, weighed = selection["candidates"], any(c.get("rises") for c in selection["candidates"])
    columns = ["Weights", "Loss, nats a token", "Word errors"] + weighed * ["Lost on other speech, points"]
    rows = [
        [
            _name_weights(candidate["alpha"]),
            _format_known(candidate["loss"], ".4f"),
            _format_known(candidate["num_errors"], "d"),
            *weighed * [_format_rise(candidate.get("rises"))],
        ]
        for candidate in candidates
    ]
    reason = (
        "the nearest to the base model that keep the gain of training"
        if _rank(selection) < _rank(candidates[0])
        else "no better than the base model there"
    )
    if weighed:
        reason += "; what weights lose on other speech had a say"
    windows = f"{selection['num_windows']} validation windows"
    head = f"Selected on {windows}: {_name_weights(selection['alpha'])}, {reason}.\n\n"
    table = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return head + "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def _rank(candidate: Mapping[str, Any]) -> tuple[float, float]:
    """Errors, then loss; a loss that is no number is worse than any."""
    loss = candidate["loss"]
    return candidate["num_errors"], math.inf if loss is None else loss


def _format_rise(rises: Mapping[str, float] | None) -> str:
    """The most that weights lose on any set, in points."""
    return f"{100 * max(rises.values()):+.1f}" if rises else ""


def _format_known(figure: float | None, form: str) -> str:
    return "" if figure is None else format(figure, form)


def _name_weights(alpha: float) -> str:
    if alpha in {0, 1}:
        return "the trained model" if alpha else "the base model"
    return f"{alpha:.0%} of the way to the trained model"


def _format_usage(metadata: ReleaseMetadata) -> str:
    hint = "The language and the task are set in `generation_config.json`." if metadata.language else ""
    if len(metadata.languages) > 1:
        hint = (
            "The task is set in `generation_config.json`; the language is detected, or given as "
            '`generate_kwargs={"language": "..."}`.'
        )
    code = (
        "```python\nfrom transformers import pipeline\n\n"
        'recogniser = pipeline("automatic-speech-recognition", model="path/or/repository")\n'
        'print(recogniser("recording.wav", return_timestamps=True)["text"])\n```'
    )
    precision = metadata.dtype_sentence
    if metadata.dtype == "float16":
        precision += ' `pipeline(..., dtype="float32")` computes in float32: for processors slow in float16.'
    return "\n\n".join(filter(None, [code, hint, precision.strip()]))


def _format_exports(exports: Mapping[str, Mapping[str, Any]]) -> str:
    if not exports:
        return ""
    proofs = [export["proof"] for export in exports.values() if export["proof"]]
    seconds = max((proof["speech_seconds"] for proof in proofs), default=0)
    head = (
        f"Each was loaded by its runtime and transcribed up to {seconds:.0f} s of held-out speech: what "
        "differs from this model's own words and times, and the WER by WhisperTrain's normalisation."
    )
    num_loops = max((proof["num_loops"] for proof in proofs), default=0)
    if num_loops:
        head += f" Left out are windows in which one of both ran into a loop, at most {num_loops}."
    columns = ("File", "MB", "Words that differ", "Times that differ", "WER", "This model's", "Loads in")
    table = [f"| {' | '.join(columns)} |", f"|---{'|---:' * (len(columns) - 1)}|"]
    return f"{head}\n\n" + "\n".join(
        table + [_format_export(name, export) for name, export in exports.items()]
    )


def _format_export(name: str, export: Mapping[str, Any]) -> str:
    size, proof = f"{export['num_bytes'] / 1e6:,.0f}", export["proof"]
    if not proof:
        return f"| `{name}` | {size} | not proved | | | | |"
    figures = (
        f"{proof['num_other_words']} of {proof['num_words']}",
        f"{proof['num_other_times']} of {proof['num_times']}",
        f"{proof['wer_normalized']:.2%}",
        f"{proof['wer_normalized_released']:.2%}",
        f"{proof['load_seconds']:.1f} s",
    )
    return f"| `{name}` | {size} | {' | '.join(figures)} |"


def _list_settings(metadata: ReleaseMetadata) -> dict[str, Any]:
    return {"epochs": metadata.epochs, "steps": metadata.num_steps, **metadata.settings}


def _format_table(heading: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = [f"| {name.replace('_', ' ')} | {_format_value(value)} |" for name, value in values.items()]
    return "\n".join([f"| {heading} | Value |", "|---|---:|", *rows])


def _format_value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _describe_limits(metadata: ReleaseMetadata) -> str:
    limits = ["Fine-tuning can cost accuracy on speech unlike the training recordings; test both."]
    if metadata.num_warnings:
        limits.append(f"Preparing the data gave {metadata.num_warnings} warnings.")
    if metadata.license is None:
        limits.append(
            "No licence was chosen for these weights; that of the base model applies to what derives from it."
        )
    return " ".join(limits)
