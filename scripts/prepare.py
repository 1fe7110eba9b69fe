#!/usr/bin/env python
"""Prepare a folder's recordings before training, by as many workers as you like, on any engine.

    python scripts/prepare.py --data_dir recordings --language fr \
        --model_name_or_path openai/whisper-small --output_dir runs/fr

It makes the shards that train.py makes first, of the same options, in the same folder: train.py with this
--output_dir then finds them. Start the command as often as you like, at once or later, on one machine or on
many that share the folder: each recording is claimed by one worker, the longest first, and what a worker
did that was killed is done by one other. All end when all is done.

    sbatch --array=0-63 --wrap "python scripts/prepare.py ... --rank $SLURM_ARRAY_TASK_ID --world 64"
    seq 0 3 | xargs -P 4 -I R python scripts/prepare.py ... --num_workers 1 --rank R --world 4
    python scripts/prepare.py ... --engine ray

With --compacted_dir FOLDER the shards are then joined into a dataset to keep, copy and upload, from which
train.py --prepared_dir FOLDER trains without the recordings.

--data_dir may be s3://bucket/prefix, or the https:// address of a text that lists the address of a file in
each line: captions are fetched at once, a recording's sound by the worker that claims it, and deleted again.

No weights are loaded, unless languages that neither --language nor the captions tell are to be detected, or
plain text and loose captions are to be given times.
"""

import argparse
import logging
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the project is run from its checkout

from tqdm import tqdm
from transformers import HfArgumentParser

from recipe.arguments import (
    DataArguments,
    EvaluationArguments,
    ModelArguments,
    SourceArguments,
    describe_problems,
    find_problems,
)
from recipe.data.caption_choice import Wanted
from recipe.data.columns import ColumnNames
from recipe.data.compaction import compact_dataset
from recipe.data.manifest import TEXT_EXTENSIONS, Recording
from recipe.data.opening import warn_of_rows
from recipe.data.pairing import Pairing
from recipe.data.preparation import LocalFiles, build_shards
from recipe.data.preparation_on_ray import build_shards_on_ray
from recipe.data.remote_folder import is_remote, read_remote_folder
from recipe.data.shards import Shard
from recipe.data.sources import read_folder
from recipe.data.usable import check_usable
from recipe.errors import JobError, RecipeError
from recipe.model.checkpoint import load_outline
from recipe.model.preparation import preparation_settings
from recipe.run.files import remembering_hashes
from recipe.run.folder import RunFolder
from recipe.screening.languages import check_task, find_caption_language, settle_languages

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA's driver, of AMD's, and of Windows for its Linux: without any of them torch finds no GPU."""


@dataclass
class EngineArguments:
    """Where it goes, and who works."""

    output_dir: Path = field(metadata={"help": "Folder of the run, shared by all workers."})
    engine: Literal["local", "ray"] = field(
        default="local",
        metadata={
            "help": "local: processes of this machine. ray: tasks of the cluster at RAY_ADDRESS, or of Ray "
            "on this machine; needs `pip install ray`."
        },
    )
    compacted_dir: Path | None = field(
        default=None,
        metadata={
            "help": "Receives the shards once they are all there, joined into files of a gigabyte by the "
            "worker of rank 0: a dataset that train.py --prepared_dir trains from, without the recordings."
        },
    )
    remove_shards: bool = field(
        default=False, metadata={"help": "Remove the shards once the compacted dataset is whole."}
    )
    num_workers: int | None = field(
        default=None, metadata={"help": "Processes of this worker, 1 or more; as many as cores by default."}
    )
    rank: int = field(
        default=0,
        metadata={
            "help": "Number of this worker in an array, from 0, as its last line names it. It does not "
            "decide which recordings the worker does: claims do."
        },
    )
    world: int = field(default=1, metadata={"help": "Workers in all; likewise."})


Options = tuple[EngineArguments, SourceArguments, ModelArguments, DataArguments]


def main() -> None:
    """Prepare, and say what came of it."""
    logging.basicConfig(level=logging.WARNING)
    try:
        options = parse_arguments()
        shards = prepare(options)
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    print(describe(shards, options[0]))


def parse_arguments(argv: list[str] | None = None) -> Options:
    """The command line: the options of this script, and those of train.py that shards depend on.

    Raises:
        JobError: naming every value that is out of bounds.
    """
    description = (__doc__ or "").replace("%", "%%")
    groups = (EngineArguments, SourceArguments, ModelArguments, DataArguments)
    parser = HfArgumentParser(
        groups,  # type: ignore[arg-type]  # it takes dataclasses
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    engine, source, model, data = parser.parse_args_into_dataclasses(argv)
    problems = [
        problem for group in (source, model, data) for problem in find_problems(type(group), vars(group))
    ]
    if not source.data_dir:
        problems.append("data_dir: expected a folder of recordings")
    if engine.num_workers is not None and engine.num_workers < 1:
        problems.append(f"num_workers: expected 1 or more, found {engine.num_workers}")
    if not 0 <= engine.rank < engine.world:
        problems.append(f"rank: expected 0 to {engine.world - 1}, one less than world, found {engine.rank}")
    if engine.remove_shards and not engine.compacted_dir:
        problems.append("remove_shards needs compacted_dir")
    if problems:
        raise JobError(describe_problems(problems))
    return engine, source, model, data


def prepare(options: Options) -> list[Shard]:
    """The shards of all recordings, once they are all there.

    Raises:
        RecipeError: as the stages of train.py do.
    """
    engine, source, model, data = options
    assert source.data_dir
    folder = RunFolder(engine.output_dir.resolve())  # an engine may work elsewhere
    checkpoint = load_outline(model)
    report(check_task(model, checkpoint))
    wanted = Wanted(
        find_caption_language(model, checkpoint) or "", uses_automatic=data.auto_captions == "use"
    )
    pairing, files = read_source(source, wanted, folder)
    report(pairing.warnings)
    if has_text(pairing.recordings) or data.judges_times(on_gpu=has_gpu()):
        recordings = settle_by_model(pairing.recordings, model, data, folder.aligned)
    else:
        recordings, warnings = settle_languages(pairing.recordings, model, checkpoint)
        report(warnings)
    settings = preparation_settings(model, data, checkpoint, folder.prepared)
    make = (
        build_shards_on_ray
        if engine.engine == "ray"
        else partial(build_shards, num_workers=engine.num_workers, reads_shards=engine.rank == 0)
    )
    # What the first worker has read, train.py need not read again.
    remembering = remembering_hashes(folder.prepared / "hashes.json") if engine.rank == 0 else nullcontext()
    with remembering, tqdm(total=len(recordings), desc="prepare", unit="recording", disable=None) as bar:
        shards = make(
            recordings,
            settings,
            folder.prepared / "shards",
            files=files,
            on_recording=lambda _: bar.update(),
        )
    if engine.compacted_dir and engine.rank == 0:
        for recording, shard in zip(recordings, shards, strict=True):
            shard.report.describe_source(recording)
        compact_dataset(
            shards,
            settings,
            engine.compacted_dir,
            row_warnings=warn_of_rows(recordings, [shard.report for shard in shards]),
            removes_shards=engine.remove_shards,
        )
    return shards


def settle_by_model(
    recordings: list[Recording], model: ModelArguments, data: DataArguments, folder: Path
) -> list[Recording]:
    """The recordings with languages, and captions with times in `folder`, by the base model.

    Raises:
        RecipeError: as the stages of train.py do.
    """
    # Torch takes five seconds to load, which a worker that is started over and over should not spend.
    import torch  # noqa: PLC0415

    from recipe.model.whisper import load_whisper  # noqa: PLC0415
    from recipe.screening.caption_times import settle_times  # noqa: PLC0415
    from recipe.screening.timing_options import timing_settings  # noqa: PLC0415

    whisper = load_whisper(model)
    recordings, warnings = settle_languages(recordings, model, whisper)
    report(warnings)
    device = torch.device("cuda" if has_gpu() else "cpu")
    batch_size = EvaluationArguments.eval_batch_size
    timing = timing_settings(model, data, whisper, folder, device=device, batch_size=batch_size)
    recordings, warnings = settle_times(recordings, timing)
    report(warnings)
    return recordings


@cache
def has_gpu() -> bool:
    """Whether the base model runs on a GPU, as train.py chooses it on this machine."""
    if not any(Path(device).exists() for device in GPU_DEVICES):
        return False
    import torch  # noqa: PLC0415 - seconds, where there can be no GPU

    return torch.cuda.is_available()


def read_source(source: SourceArguments, wanted: Wanted, folder: RunFolder) -> tuple[Pairing, LocalFiles]:
    """The recordings, and how their files are had.

    Raises:
        DataError: if there are none to train on, or the place cannot be read.
    """
    assert source.data_dir
    if is_remote(source.data_dir):
        return read_remote_folder(source.data_dir, wanted, folder.downloads)
    pairing = read_folder(Path(source.data_dir).resolve(), wanted, ColumnNames.of(source))
    check_usable(pairing, Path(source.data_dir))
    return pairing, LocalFiles()


def has_text(recordings: list[Recording]) -> bool:
    """Whether some recordings come with text without times."""
    transcripts = [recording.transcript.path for recording in recordings]
    return any(recording.whole_text for recording in recordings) or any(
        path and path.suffix.lower() in TEXT_EXTENSIONS for path in transcripts
    )


def report(warnings: list[str]) -> None:
    """Print warnings for the user."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def describe(shards: list[Shard], engine: EngineArguments) -> str:
    """What is in the folder, in a sentence."""
    reports = [shard.report for shard in shards]
    hours = sum(one.audio_ms for one in reports) / 3_600_000
    num_speech = sum(one.outcome == "speech" for one in reports)
    others = f", {len(reports) - num_speech} of them without speech to train on" * (num_speech < len(reports))
    return (
        f"Worker {engine.rank} of {engine.world}: {len(reports)} recordings ({hours:,.1f} h, "
        f"{sum(one.num_windows for one in reports):,} windows{others}) are in {engine.output_dir}/prepared."
    )


if __name__ == "__main__":
    main()
