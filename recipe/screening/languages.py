"""Which language is spoken in each recording, and whether the checkpoint can do what is asked of it.

The first that applies: the job's language, for all; the tag of the captions; what the base model detects.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import ModelArguments, caption_language
from recipe.captions.reader import read_language
from recipe.data.manifest import LocalFile, Recording
from recipe.errors import DataError, JobError
from recipe.evaluation.normalization import language_code
from recipe.model.checkpoint import Checkpoint
from recipe.run.warning import DataWarning, Importance

logger = logging.getLogger(__name__)

NUM_DETECTION_RECORDINGS = 8
"""Recordings that the base model is given, half a minute each, to tell whether all are in one language."""

MIN_CERTAINTY = 0.9
"""Probability from which on a recording has the language detected in it, and not that of most others.

Half a minute of clear speech gives whisper-base 0.97 and more (22 of 22 demo recordings, French and English);
music, noise and languages that are near relatives give less, and there most recordings know better than one.
"""


def check_task(arguments: ModelArguments, checkpoint: Checkpoint) -> list[str]:
    """Warnings about how well the checkpoint is fit for the task.

    Raises:
        JobError: if it cannot do it.
    """
    if arguments.task != "translate":
        return []
    if not checkpoint.is_multilingual:
        raise JobError(
            f"task: {arguments.model_name_or_path!r} is an English-only checkpoint and cannot translate; "
            "take a multilingual one, such as openai/whisper-small, or the task transcribe."
        )
    num_encoder_layers, num_layers = checkpoint.num_layers
    if num_layers < num_encoder_layers:
        warning = (
            f"The checkpoint's decoder is cut down ({num_layers} of {num_encoder_layers} layers), as in "
            "large-v3-turbo, which was not trained to translate: it learns that from these recordings alone. "
            "For translation take openai/whisper-large-v3 or a smaller whole model."
        )
        return [warning]
    return []


def check_language(language: str | None, checkpoint: Checkpoint) -> str | None:
    """The code of a language given as code, tag or English name; None for None.

    Raises:
        JobError: if Whisper, or this checkpoint's vocabulary, does not know it.
    """
    code = language_code(language)
    if code is None:
        return None
    if code not in LANGUAGES:
        raise JobError(
            f"language: {language!r} is not known to Whisper; expected a code such as fr, or a name."
        )
    if not checkpoint.has_language(code):
        raise JobError(
            f"language: this checkpoint has no token for {language!r}; large-v3 knows more languages."
        )
    return code


def find_caption_language(arguments: ModelArguments, checkpoint: Checkpoint) -> str | None:
    """Code of the language that captions are wanted in; None if nobody said it.

    Raises:
        JobError: as `check_language` does.
    """
    return caption_language(check_language(arguments.language, checkpoint), arguments.task)


def settle_languages(
    recordings: Sequence[Recording], arguments: ModelArguments, checkpoint: Checkpoint
) -> tuple[list[Recording], list[str]]:
    """The recordings, each with the language spoken in it, and warnings for the user.

    Weights are loaded only where a language is to be detected. English-only checkpoints know English only.
    Captions for translation are English, so their tags do not say what is spoken; those tagged with another
    language are put aside there.

    Raises:
        JobError: if the checkpoint does not know a language.
        DataError: if there is no telling what is spoken.
    """
    if not checkpoint.is_multilingual:
        return [replace(recording, language="en") for recording in recordings], []
    given = check_language(arguments.language, checkpoint)
    written = {recording.name: _read_tag(recording) for recording in recordings}
    if arguments.task == "translate":
        recordings = [_put_aside_unless_english(item, written[item.name]) for item in recordings]
        # A column of a table says what is spoken; a tag of captions, what is written.
        written = {item.name: written[item.name] if item.clips else "" for item in recordings}
    codes = {name: given or code for name, code in written.items()}
    untagged = [recording for recording in recordings if not codes[recording.name]]
    warnings = []
    if untagged:
        from recipe.screening.language_detection import detecting  # noqa: PLC0415 - torch takes seconds

        with detecting(checkpoint, arguments) as detect:
            detected = detect_languages(untagged, filter(None, codes.values()), detect)
        warnings = [_describe_detected(detected)]
        codes |= detected
    _check_vocabulary(codes, checkpoint)
    return [replace(recording, language=codes[recording.name]) for recording in recordings], warnings


def _read_tag(recording: Recording) -> str:
    """Code of the language that the captions' file name, or else their header, tells; "" if none."""
    header = read_language(recording.transcript.path) if recording.transcript.path else None
    for tag in (recording.language_tag, header):
        code = language_code(tag)
        if code in LANGUAGES:
            return code
        if tag:
            logger.warning(
                "%s: %r is no language that Whisper knows; it was passed over.", recording.name, tag
            )
    return ""


def _put_aside_unless_english(recording: Recording, written: str) -> Recording:
    if written in {"", "en"} or recording.clips:
        return recording
    problem = f"its captions are in {_name(written)}, and the task translate learns from English ones"
    return replace(recording, transcript=LocalFile(None, problem))


def _check_vocabulary(codes: Mapping[str, str], checkpoint: Checkpoint) -> None:
    for recording, code in codes.items():
        if not checkpoint.has_language(code):
            raise JobError(
                f"Recording {recording!r} is in {_name(code)}, for which this checkpoint has no token; "
                "large-v3 knows more languages. Take it, remove the recording, or set the option language."
            )


def detect_languages(
    recordings: Sequence[Recording],
    known: Iterable[str],
    detect: Callable[[Recording], tuple[str, float] | None],
) -> dict[str, str]:
    """Code of the language of each recording, by name, as the base model detects it.

    Detection costs more than reading, so some recordings speak for all as long as they agree; otherwise it
    is made on all. A recording without a certain answer, or without sound, has the language of most of them,
    or without any answer, of most of the `known`.

    Args:
        recordings: Of which nobody said it.
        known: Codes of the other recordings' languages.
        detect: The most probable language of a recording and its probability; None if it has no sound.

    Raises:
        DataError: if there is no telling.
    """
    answers: dict[str, tuple[str, float]] = {}

    def ask(some: Iterable[Recording]) -> None:
        found = [(recording.name, detect(recording)) for recording in some]
        answers.update({name: answer for name, answer in found if answer})

    step = max(1, len(recordings) // NUM_DETECTION_RECORDINGS)
    ask(recordings[::step])
    if len({code for code, certainty in answers.values() if certainty >= MIN_CERTAINTY}) > 1:
        ask(recording for index, recording in enumerate(recordings) if index % step)
    votes = Counter(code for code, _ in answers.values()) or Counter(known)
    if not votes:
        raise DataError(
            "No language was given and no recording has sound to detect it from; set the option language."
        )
    ((most, _),) = votes.most_common(1)
    sure = {name: code for name, (code, certainty) in answers.items() if certainty >= MIN_CERTAINTY}
    return {recording.name: sure.get(recording.name, most) for recording in recordings}


def _describe_detected(detected: Mapping[str, str]) -> str:
    counts = Counter(detected.values()).most_common()
    found = ", ".join(f"{_name(code)} in {number}" for code, number in counts)
    sentence = (
        f"No language was given for {len(detected)} recordings; the base model detected {found}. Where that"
        " is wrong, tag the captions (talk.fr.vtt) or set the option language."
    )
    return DataWarning(sentence, Importance.CHOSEN)


def _name(code: str) -> str:
    return f"{LANGUAGES[code].title()} ({code})"
