#!/usr/bin/env python
"""Word and character error rates of any Whisper model on any folder of audio and captions.

    python scripts/evaluate_wer.py --model openai/whisper-small --data_dir recordings --language fr

With --report RUN/report.json only the windows that this run held out are transcribed, in the same batches and
by the same engine, so that a published model gets the very figures that the report says. With --long_form
whole recordings go through faster-whisper, as people use the model; it may be a folder of CTranslate2 then.
With --long_form cuts they are cut every 30 seconds, wherever that falls, and the cuts transcribed as windows.
With --glossary FILE, a term a line, the windows are transcribed once more with the terms in the prompt, and
the keyword recall and precision of both are told.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

import torch
from datasets import Dataset
from tqdm import tqdm
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import ModelArguments, caption_language
from recipe.audio.decoding import AudioLimits
from recipe.data.caption_choice import Wanted
from recipe.data.index import load_examples
from recipe.data.manifest import Recording
from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings
from recipe.data.sources import read_folder
from recipe.errors import DataError, RecipeError
from recipe.evaluation.asr_errors import AsrErrors
from recipe.evaluation.cuts import cut_recordings, measure_cuts, select_first_windows
from recipe.evaluation.keywords import compare_prompted, describe_used
from recipe.evaluation.long_form import CONVERTED_MODEL, Recogniser, measure_long_form, open_recogniser
from recipe.evaluation.long_form_scores import LongForm, build_references
from recipe.evaluation.normalization import NORMALIZER_LABELS, OURS, Normalizer, language_code
from recipe.evaluation.report import Evaluation, Transcript, evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.glossary import choose_fitting
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper, load_whisper
from recipe.run.files import export_json
from recipe.run.glossary import read_glossary
from recipe.screening.languages import check_task, find_caption_language, settle_languages


def main() -> None:
    """Evaluate, print tables and write the JSON."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING)
    try:
        if arguments.long_form and arguments.glossary:
            raise DataError("--glossary is measured on windows; leave out --long_form.")
        if arguments.long_form:
            measure = evaluate_cuts if arguments.long_form == "cuts" else evaluate_whole
            report_long_form(arguments, measure(arguments))
            return
        evaluation, task, normalizer, glossary = evaluate(arguments)
    except RecipeError as error:
        sys.exit(str(error))
    figures = evaluation.as_dict() | {"languages": compute_errors(evaluation.transcripts, task, normalizer)}
    print_errors(figures)
    print_details(figures)
    if glossary:
        print_glossary(glossary)
    if arguments.json:
        more = {"glossary": glossary} if glossary else {}
        export_json(arguments.json, {"model": arguments.model, "task": task, **figures, **more})


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="hub id or folder of a Whisper checkpoint")
    parser.add_argument("--data_dir", required=True, type=Path, help="folder of audio files with captions")
    parser.add_argument("--language", help="code or name; by default the captions' tags, or what is detected")
    parser.add_argument("--task", choices=["transcribe", "translate"], default="transcribe")
    parser.add_argument("--batch_size", type=int, default=8, help="windows at once (default 8)")
    parser.add_argument("--engine", choices=["transformers", "ctranslate2"], default="transformers")
    parser.add_argument("--normalizer", choices=list(NORMALIZER_LABELS), help="as of train.py")
    parser.add_argument("--report", type=Path, help="report.json of a run: only what it held out")
    parser.add_argument(
        "--long_form",
        nargs="?",
        const="on",
        choices=["on", "cuts"],
        help="whole recordings through faster-whisper (on), or cut every 30 seconds (cuts)",
    )
    parser.add_argument("--glossary", type=Path, help="terms, one a line: recall with them in the prompt too")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def evaluate_whole(arguments: argparse.Namespace) -> LongForm:
    """The model's figures on whole recordings; a recording of a run's report only where it held it out."""
    report = json.loads(arguments.report.read_text()) if arguments.report else {}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_for_long_form(arguments, report, Path(folder)) as (recogniser, recordings, settings, spellings),
    ):
        examples = read_examples(recordings, settings, Path(folder))
        chosen = choose_examples(examples, report)
        num_windows = Counter(examples["recording"])
        num_chosen = Counter(chosen["recording"])
        partly = {name for name, number in num_chosen.items() if number < num_windows[name]}
        references = build_references(chosen, partly, recogniser.task)
        if not references:
            raise DataError("No speech with captions was found to evaluate the model on.")
        with tqdm(total=len(references), desc="transcribe", unit="recording") as bar:
            normalizer = choose_normalizer(arguments, report, spellings)
            return measure_long_form(
                recogniser, references, recordings, AudioLimits(), bar.update, normalizer
            )


@contextmanager
def open_for_long_form(
    arguments: argparse.Namespace, report: Mapping[str, Any], folder: Path
) -> Iterator[tuple[Recogniser, list[Recording], PreparationSettings, Mapping[str, str]]]:
    """faster-whisper with the model, the recordings, how references are made of them, and spellings.

    Files are left in `folder`.
    """
    device = torch.device(arguments.device)
    asked = ModelArguments(arguments.model, language=arguments.language, task=arguments.task)
    if (Path(arguments.model) / CONVERTED_MODEL).is_file():
        recogniser = Recogniser(Path(arguments.model), device, task=asked.task)
        table = Path(arguments.model, "normalizer.json")
        spellings = json.loads(table.read_text()) if table.is_file() else {}
        yield recogniser, *prepare_converted(arguments, recogniser), spellings
        return
    whisper = load_whisper(asked)
    recordings, warnings = read_recordings(arguments.data_dir, asked, whisper, report)
    for warning in check_task(asked, whisper) + warnings:
        print(warning, file=sys.stderr)
    with open_recogniser(whisper, device) as recogniser:
        yield recogniser, recordings, describe_preparation(whisper, folder), whisper.spellings


def prepare_converted(
    arguments: argparse.Namespace, recogniser: Recogniser
) -> tuple[list[Recording], PreparationSettings]:
    """The recordings for a model of CTranslate2, and how their references are made.

    Raises:
        DataError: if the language of a recording is not told, or the model has no tokenizer beside it.
    """
    tokenizer_file = Path(arguments.model) / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise DataError(
            f"{arguments.model} has no tokenizer.json; convert the model with `--copy_files tokenizer.json "
            "preprocessor_config.json`."
        )
    language = language_code(arguments.language) or ("" if recogniser.task else "en")
    recordings = [
        replace(recording, language=language or language_code(recording.language_tag or None) or "")
        for recording in read_folder(arguments.data_dir, Wanted(language)).recordings
    ]
    untold = [recording.name for recording in recordings if not recording.language]
    if untold:
        raise DataError(f"{untold[0]}: nothing says in which language it is; give --language.")
    return recordings, PreparationSettings(
        tokenizer_file=tokenizer_file,
        task="translate" if recogniser.task == "translate" else "transcribe",
    )


def evaluate_cuts(arguments: argparse.Namespace) -> LongForm:
    """The model's figures on the recordings in cuts; with a run's report, on the cuts that it took."""
    with open_windows(arguments) as (whisper, recordings, examples, decoding, report):
        max_cuts = report.get("long_form", {}).get("settings", {}).get("max_cuts", 0)
        known = select_first_windows(examples, max_cuts) if max_cuts else examples
        references = build_references(known, frozenset(), whisper.task)
        if not references:
            raise DataError("No speech with captions was found to evaluate the model on.")
        cuts = cut_recordings(references, recordings, AudioLimits())
        with tqdm(total=len(cuts.examples), desc="transcribe", unit="window") as bar:
            normalizer = choose_normalizer(arguments, report, whisper.spellings)
            return measure_cuts(whisper, cuts, decoding, bar.update, normalizer)


def report_long_form(arguments: argparse.Namespace, long_form: LongForm) -> None:
    """Print the figures of whole recordings, and write the JSON."""
    for sentence in long_form.unread:
        print(sentence, file=sys.stderr)
    for name, value in long_form.summarise().items():
        print(f"{name:24}{value:12.4f}" if isinstance(value, float) else f"{name:24}{value:12}")
    if arguments.json:
        export_json(arguments.json, {"model": arguments.model, "long_form": long_form.as_dict()})


def choose_normalizer(
    arguments: argparse.Namespace, report: Mapping[str, Any], spellings: Mapping[str, str]
) -> Normalizer:
    """The one asked for, else that of the run's report, else ours."""
    return Normalizer(arguments.normalizer or report.get("normalizer", OURS.name), spellings)


def evaluate(
    arguments: argparse.Namespace,
) -> tuple[Evaluation, str | None, Normalizer, Mapping[str, Any]]:
    """The model's transcripts of the folder, by the code that training uses, its task and the normaliser.

    With a glossary its figures come last, with its terms in the prompt and without; else nothing does.
    """
    terms = read_glossary(arguments.glossary) if arguments.glossary else []
    with (
        open_windows(arguments) as (whisper, _, examples, decoding, report),
        tqdm(total=len(examples) * (2 if terms else 1), desc="transcribe", unit="window") as bar,
    ):
        normalizer = choose_normalizer(arguments, report, whisper.spellings)
        evaluation = evaluate_model(whisper, examples, decoding, bar.update, normalizer)
        glossary: dict[str, Any] = {}
        if terms:
            used = choose_fitting(terms, LabelEncoder(whisper.processor.tokenizer, whisper.task))
            prompted = evaluate_model(whisper, examples, decoding, bar.update, normalizer, terms=used)
            figures = compare_prompted(used, evaluation, prompted)
            glossary = {"num_terms": len(terms), "terms": used, **figures.as_dict()}
        return evaluation, whisper.task, normalizer, glossary


@contextmanager
def open_windows(
    arguments: argparse.Namespace,
) -> Iterator[tuple[Whisper, list[Recording], Dataset, Decoding, Mapping[str, Any]]]:
    """The model, the recordings, their windows, how these are transcribed, and a run's report, if any."""
    report = json.loads(arguments.report.read_text()) if arguments.report else {}
    asked = ModelArguments(arguments.model, language=arguments.language, task=arguments.task)
    if report:
        asked.task = report["task"] or asked.task
    whisper = load_whisper(asked)
    whisper.move_to(torch.device(arguments.device))
    recordings, warnings = read_recordings(arguments.data_dir, asked, whisper, report)
    for warning in check_task(asked, whisper) + warnings:
        print(warning, file=sys.stderr)
    decoding = Decoding(
        report.get("batch_size", arguments.batch_size), report.get("engine", arguments.engine)
    )
    with tempfile.TemporaryDirectory() as folder:
        examples = choose_examples(read_speech(recordings, whisper, Path(folder)), report)
        yield whisper, recordings, examples, decoding, report


def read_recordings(
    folder: Path, asked: ModelArguments, whisper: Whisper, report: Mapping[str, Any]
) -> tuple[list[Recording], list[str]]:
    """The folder's recordings, each with its language, and warnings; with a report only those it held out."""
    languages = {window["recording"]: window["language"] for window in report.get("windows", [])}
    if len(set(languages.values())) == 1:
        asked = replace(asked, language=asked.language or next(iter(languages.values())))
    pairing = read_folder(folder, Wanted(find_caption_language(asked, whisper) or ""))
    recordings = pairing.recordings
    if not report:
        recordings, warnings = settle_languages(recordings, asked, whisper)
        return recordings, pairing.warnings + warnings
    held_out = [recording for recording in recordings if recording.name in languages]
    return [replace(recording, language=languages[recording.name]) for recording in held_out], []


def read_speech(recordings: Sequence[Recording], whisper: Whisper, folder: Path) -> Dataset:
    """The recordings' speech as examples, in order of their names; their files are in the folder."""
    return read_examples(recordings, describe_preparation(whisper, folder), folder)


def read_examples(recordings: Sequence[Recording], settings: PreparationSettings, folder: Path) -> Dataset:
    """The recordings' speech as examples made by the settings; their files are in the folder."""
    shards = build_shards(recordings, settings, folder / "shards")
    for shard in shards:
        if shard.report.reason:
            print(f"{shard.report.name}: not evaluated: {shard.report.reason}", file=sys.stderr)
    return load_examples([shard for shard in shards if shard.report.outcome == "speech"])


def describe_preparation(whisper: Whisper, folder: Path) -> PreparationSettings:
    """How a training on the checkpoint would prepare recordings by default."""
    return PreparationSettings(
        tokenizer_file=whisper.save_tokenizer(folder),
        task="translate" if whisper.task == "translate" else "transcribe",
        suppressed_symbols=whisper.suppressed_symbols(),
    )


def choose_examples(examples: Dataset, report: Mapping[str, Any]) -> Dataset:
    """All examples, or those that a run held out.

    Raises:
        DataError: if there is none.
    """
    if report:
        held_out = {(w["recording"], w["start_ms"], w["end_ms"]) for w in report["windows"]}
        keys = zip(examples["recording"], examples["start_ms"], examples["end_ms"], strict=True)
        examples = examples.select([index for index, key in enumerate(keys) if key in held_out])
    if len(examples) == 0:
        raise DataError("No speech with captions was found to evaluate the model on.")
    return examples


def compute_errors(
    transcripts: Sequence[Transcript], task: str | None, normalizer: Normalizer
) -> dict[str, dict[str, Any]]:
    """The metric's figures of the windows in each language, by its code."""
    metric = AsrErrors(keep_in_memory=True)
    texts: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for transcript in transcripts:
        references, hypotheses = texts[transcript.language]
        references.append(transcript.reference)
        hypotheses.append(transcript.hypothesis)
    return {
        code: metric.compute(
            references=references,
            predictions=hypotheses,
            language=caption_language(code, task),
            normalizer=normalizer.name,
            spellings=normalizer.spellings,
        )
        for code, (references, hypotheses) in sorted(texts.items())
    }


def print_errors(figures: Mapping[str, Any]) -> None:
    """Print the error rates of each language, and of all of them together if there are several."""
    print(f"{'':24}{'WER':>9}{'CER':>9}{'sub':>7}{'del':>7}{'ins':>7}")
    named = {LANGUAGES[code].title(): errors for code, errors in figures["languages"].items()}
    for name, errors in ({**named, "All": figures} if len(named) > 1 else named).items():
        for form, suffix in (("as written", ""), ("normalised", "_normalized")):
            kinds = ("substitutions", "deletions", "insertions")
            counts = "".join(f"{errors[kind + suffix]:7}" for kind in kinds)
            rates = f"{errors['wer' + suffix]:9.2%}{errors['cer' + suffix]:9.2%}"
            print(f"{f'{name} {form}':24}{rates}{counts}")
    print(f"Normalised: by {NORMALIZER_LABELS[figures['normalizer']]}.")


def print_details(figures: Mapping[str, Any]) -> None:
    """Print how much was transcribed, the error rate of each recording, and the worst windows."""
    print(
        f"\n{figures['num_windows']} windows, {figures['audio_seconds']:.0f} s of audio, "
        f"{figures['audio_seconds_per_second']} x real time"
    )
    for name, errors in figures["recordings"].items():
        print(f"  {name:40} {errors['wer_normalized']:7.2%}")
    print("\nWorst windows (normalised word errors):")
    for window in figures["worst_windows"][:3]:
        print(f"  {window['recording']} at {window['start_ms'] / 1000:.1f} s: {window['num_errors']} errors")
        print(f"    reference:  {window['reference']}\n    hypothesis: {window['hypothesis']}")


def print_glossary(glossary: Mapping[str, Any]) -> None:
    """Print keyword recall and precision with the terms in the prompt and without."""
    print(f"\n{describe_used(len(glossary['terms']), glossary['num_terms'])}")
    print(f"{'Terms':24}{'said':>9}{'written':>9}{'right':>9}{'recall':>9}{'precision':>11}{'WER':>9}")
    for label, kind in {"without the glossary": "plain", "in the prompt": "prompted"}.items():
        figures = glossary[kind]
        counts = "".join(f"{figures[name]:9}" for name in ("num_said", "num_written", "num_right"))
        recall, precision = (
            "" if figures[name] is None else f"{figures[name]:.1%}" for name in ("recall", "precision")
        )
        print(f"{label:24}{counts}{recall:>9}{precision:>11}{figures['wer_normalized']:9.1%}")


if __name__ == "__main__":
    main()
