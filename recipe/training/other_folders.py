"""Folders of other speech, prepared by the functions that prepare the recordings of a run."""

from collections.abc import Callable
from dataclasses import replace

from recipe.data.caption_choice import Wanted
from recipe.data.manifest import Recording
from recipe.data.other_folders import OtherFolder
from recipe.data.preparation import build_shards
from recipe.data.shards import Shard
from recipe.data.sources import read_folder
from recipe.errors import JobError
from recipe.model.whisper import Whisper
from recipe.screening.caption_times import settle_times
from recipe.screening.languages import find_caption_language, settle_languages
from recipe.training import assembly
from recipe.training.attempt import Attempt

Recordings = list[Recording]


def prepare_folder(
    attempt: Attempt,
    whisper: Whisper,
    folder: OtherFolder,
    option: str,
    transcribe: Callable[[Recordings], Recordings] | None = None,
) -> list[Shard]:
    """The shards of a folder.

    Args:
        attempt: Of the run.
        whisper: The base model.
        folder: Of recordings.
        option: That named it, for errors.
        transcribe: Gives recordings captions in place of any that they have.

    Raises:
        JobError: if its language is not known.
    """
    arguments = attempt.arguments
    asked = replace(arguments.model, language=folder.language)
    try:
        captions_in = find_caption_language(asked, whisper) or ""
    except JobError as error:
        raise JobError(f"{option} {folder.name}: {error}") from error
    wanted = Wanted(captions_in, uses_automatic=arguments.data.auto_captions == "use")
    settings = assembly.build_preparation_settings(attempt, whisper)
    with attempt.stage("prepare_other", main_first=True):
        recordings, _ = settle_languages(read_folder(folder.path, wanted).recordings, asked, whisper)
        if transcribe:
            recordings = transcribe(recordings)
        else:
            recordings, _ = settle_times(recordings, assembly.build_timing_settings(attempt, whisper))
        with attempt.bar(f"prepare {folder.name}", len(recordings), "recording") as bar:
            return build_shards(
                recordings,
                replace(settings, empty_transcript="skip", no_speech_fraction=0.0),
                attempt.folder.prepared / "shards",
                on_recording=lambda _: bar.update(),
            )
