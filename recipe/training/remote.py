"""A dataset elsewhere, made ready for a run: described here, its sounds kept within the bound."""

from pathlib import Path

from recipe.arguments import SourceArguments
from recipe.data.compaction import read_description
from recipe.data.sounds import is_remote
from recipe.model.whisper import Whisper
from recipe.training import assembly
from recipe.training.attempt import Attempt


def check_compacted(source: SourceArguments) -> None:
    """Refuse a `prepared_dir` in which there is no compacted dataset.

    Raises:
        DataError: as `read_description` and `check_description` do.
    """
    if not source.prepared_dir:
        return
    if is_remote(source.prepared_dir):
        from recipe.data.remote_dataset import check_description  # noqa: PLC0415 - few runs need its libraries

        check_description(source.prepared_dir)
    else:
        read_description(Path(source.prepared_dir))


def find_compacted(attempt: Attempt, whisper: Whisper) -> tuple[Path, str] | None:
    """The folder that describes the dataset of `prepared_dir`, and where its parts are; None without one.

    The first process brings the description of a remote dataset to the run's folder.

    Raises:
        DataError: if it cannot be had, or is not whole.
    """
    source = attempt.arguments.source
    if not source.prepared_dir:
        return None
    if not is_remote(source.prepared_dir):
        return Path(source.prepared_dir), ""
    # Few runs need these libraries.
    from recipe.data.remote_dataset import fetch_dataset  # noqa: PLC0415
    from recipe.data.remote_sounds import REMOTE_SOUNDS  # noqa: PLC0415
    from recipe.data.sound_cache import SoundCache  # noqa: PLC0415

    if source.cache_gib:
        kept = Path(source.cache_dir) / "sounds" if source.cache_dir else attempt.folder.sounds
        max_bytes = round(source.cache_gib * 2**30)
        room = assembly.count_checkpoint_bytes(whisper, attempt.arguments.training)
        REMOTE_SOUNDS.kept = SoundCache(kept, max_bytes, room)
    folder = attempt.folder.prepared / "remote"
    if attempt.is_main:
        fetch_dataset(source.prepared_dir, folder)
    return folder, source.prepared_dir.rstrip("/")
