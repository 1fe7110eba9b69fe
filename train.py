#!/usr/bin/env python
"""Fine-tune Whisper on people's recordings and captions.

    accelerate launch --quiet --config_file accelerate_configs/single_gpu.yaml train.py \
        --data_dir recordings/ --model_name_or_path openai/whisper-small --language fr --output_dir runs/fr

One GPU: single_gpu.yaml; several: multi_gpu.yaml; none: cpu.yaml. Instead of flags, one .yaml or .json
file. Run the same command again after any interruption: it goes on from the last whole checkpoint.

Exit codes: 0 finished and published, 3 finished, nothing published (the WER is not lower), 1 refused or
failed, 143 interrupted. `accelerate launch` makes 1 of all but 0; result.json and error.json tell then.
"""

import os

from recipe.training.first_look import find_output_dir, look_first

if __name__ == "__main__":
    look_first()  # before torch loads, which takes longer

from transformers import set_seed

from recipe.data.caption_choice import Wanted
from recipe.data.dataset import PreparedDataset, check_dataset, write_dataset_report
from recipe.data.manifest import Recording
from recipe.data.opening import prepare_compacted, prepare_dataset
from recipe.data.other_folders import check_captioned_folders
from recipe.data.sources import check_source, fetch_recordings
from recipe.errors import InterruptedTraining, RecipeError
from recipe.model.adapters import add_adapters, merge_adapters
from recipe.model.whisper import Whisper, load_whisper
from recipe.publish.delivery import publish_model
from recipe.run.stages import Stage
from recipe.screening.caption_times import settle_times
from recipe.screening.label_check import exclude_suspects
from recipe.screening.languages import check_task, find_caption_language, settle_languages
from recipe.training import assembly
from recipe.training.arguments import parse_arguments
from recipe.training.attempt import Attempt, refuse, set_up_process
from recipe.training.checkpoints import find_checkpoint
from recipe.training.data_check import show_check
from recipe.training.distributed import tell_all
from recipe.training.evaluation import RunEvaluation
from recipe.training.other_speech import prepare_other_sets
from recipe.training.preflight import check_run
from recipe.training.remote import check_compacted, find_compacted
from recipe.training.replay import add_replay, prepare_replay
from recipe.training.result import build_result, describe_release
from recipe.training.schedule import settle_schedule
from recipe.training.self_test import prepare_self_test
from recipe.training.trainer import WhisperTrainer
from recipe.training.weight_selection import Outcome


def main() -> None:
    """Run the whole pipeline on this process; every process that Accelerate starts does the same."""
    set_up_process()
    try:
        with Attempt(parse_arguments(), os.environ) as attempt:
            if not attempt.is_finished():
                train_whisper(attempt)
    except (RecipeError, InterruptedTraining, OSError) as error:  # an attempt's end is that of the process
        refuse(find_output_dir(), error)


def train_whisper(attempt: Attempt) -> None:
    """From arguments to a published model: the stages in order, data flowing downwards."""
    begin(attempt)
    whisper = load(attempt)
    recordings = fetch(attempt, whisper)
    recordings = settle_caption_times(attempt, whisper, recordings)
    dataset = prepare(attempt, whisper, recordings)
    other_sets = prepare_other_sets(attempt, whisper, dataset)
    replay = prepare_replay(attempt, whisper, dataset, other_sets)
    settle_schedule(attempt.arguments, whisper, len(dataset.train))
    if attempt.arguments.source.check_data:
        show_check(attempt, whisper, add_replay(dataset, replay), other_sets)
        return
    dataset = check_labels(attempt, whisper, dataset)
    trainer = assembly.build_trainer(attempt, whisper, add_replay(dataset, replay))
    evaluation = RunEvaluation(attempt, trainer, dataset, recordings, other_sets)
    train(attempt, trainer)
    outcome = evaluation.finish()
    model_path = publish(attempt, trainer, dataset, outcome)
    attempt.finish(build_result(attempt, trainer, dataset, outcome, model_path))


def begin(attempt: Attempt) -> None:
    """Report that the run begins, and refuse what cannot work before anything is paid for."""
    arguments = attempt.arguments
    fields = {"base_model": arguments.model.model_name_or_path, "epochs": arguments.training.num_train_epochs}
    attempt.report(Stage.INITIALIZING, fields)
    check_run(arguments, attempt.folder)
    check_source(arguments.source)
    check_compacted(arguments.source)
    check_captioned_folders(arguments.evaluation.other_dir, "other_dir")
    check_captioned_folders(arguments.data.replay_dir, "replay_dir")
    if arguments.source.self_test:
        attempt.arguments = prepare_self_test(arguments)
    set_seed(arguments.training.seed)


def load(attempt: Attempt) -> Whisper:
    """The base model."""
    arguments = attempt.arguments.model
    with attempt.stage("load_model", Stage.LOADING_MODEL, main_first=True):
        whisper = load_whisper(arguments)
    attempt.warn(*check_task(arguments, whisper))
    attempt.report(Stage.MODEL_LOADED, {"model_parameters": whisper.model.num_parameters()})
    return whisper


def fetch(attempt: Attempt, whisper: Whisper) -> list[Recording]:
    """The recordings, each with the language spoken in it: of the folder, or downloaded.

    A compacted dataset stands for its recordings; they need not be there.
    """
    arguments = attempt.arguments
    if arguments.source.prepared_dir:
        return []
    captions_in = find_caption_language(arguments.model, whisper) or ""
    wanted = Wanted(captions_in, uses_automatic=arguments.data.auto_captions == "use")
    with (
        attempt.stage("download", Stage.PREPARING_DATASET, main_first=True),
        attempt.bar("download", None, "file", is_told=False) as bar,
    ):
        pairing = fetch_recordings(arguments.source, wanted, assembly.build_downloads(attempt, bar))
    attempt.warn(*pairing.warnings)
    with attempt.stage("prepare", main_first=True):
        recordings, warnings = settle_languages(pairing.recordings, arguments.model, whisper)
    attempt.warn(*warnings)
    return recordings


def settle_caption_times(attempt: Attempt, whisper: Whisper, recordings: list[Recording]) -> list[Recording]:
    """The recordings, with times for plain text and for captions whose own are loose."""
    with (
        attempt.stage("align", main_first=True),
        attempt.bar("align", len(recordings), "recording") as bar,
    ):
        recordings, warnings = settle_times(
            recordings, assembly.build_timing_settings(attempt, whisper), bar.update
        )
    attempt.warn(*warnings)
    return recordings


def prepare(attempt: Attempt, whisper: Whisper, recordings: list[Recording]) -> PreparedDataset:
    """The Arrow dataset, split into what is trained and what is held out; refused if too much is bad."""
    folder, data = attempt.folder.prepared, attempt.arguments.data
    with attempt.stage("prepare", main_first=True):
        settings = assembly.build_preparation_settings(attempt, whisper)
        compacted = find_compacted(attempt, whisper)
    with attempt.stage("prepare"), attempt.bar("prepare", len(recordings), "recording") as bar:
        if compacted:
            described, address = compacted
            dataset = prepare_compacted(described, settings, data, folder, address=address, tell=tell_all)
        else:
            dataset = prepare_dataset(
                recordings, settings, data, folder, on_recording=lambda _: bar.update(), tell=tell_all
            )
    if attempt.is_main:
        write_dataset_report(folder, dataset, assembly.describe_origin(attempt))
    check_dataset(dataset, data)
    return dataset


def check_labels(attempt: Attempt, whisper: Whisper, dataset: PreparedDataset) -> PreparedDataset:
    """The dataset without the training windows whose words do not seem to be those of their audio."""
    if attempt.arguments.data.judges_labels(on_gpu=attempt.arguments.training.device.type == "cuda"):
        with attempt.stage("check_labels"):
            scores = assembly.score_dataset(attempt, whisper, dataset)
        dataset = exclude_suspects(dataset, scores, attempt.arguments.data.label_check_max_fraction)
        if attempt.is_main:
            write_dataset_report(attempt.folder.prepared, dataset, assembly.describe_origin(attempt))
    attempt.warn(*dataset.warnings)
    attempt.report(Stage.DATASET_READY, dataset.count_samples())
    return dataset


def train(attempt: Attempt, trainer: WhisperTrainer) -> None:
    """Train, from the last whole checkpoint if there is one, and take up the weights with the lowest WER."""
    training = attempt.arguments.training
    with attempt.stage("train"):
        found = find_checkpoint(attempt.folder.path, trainer.fingerprint) if attempt.is_main else None
        checkpoint = tell_all(found)
    if checkpoint:
        attempt.report(Stage.RESUMED, {"checkpoint": checkpoint.name}, repeats=True)
    configuration = {
        "epochs": training.num_train_epochs,
        "batch_size": training.per_device_train_batch_size,
        "learning_rate": training.learning_rate,
        "max_steps": trainer.num_updates,
    }
    attempt.report(Stage.STARTING_TRAINING, {"configuration": configuration})
    add_adapters(trainer.whole_model, attempt.arguments.model, training.seed)
    with attempt.stage("train"):
        metrics = trainer.train_to_the_end(checkpoint)
    attempt.warn(*trainer.warnings)
    fields = {name: metrics[name] for name in ("train_runtime", "train_samples_per_second")}
    attempt.report(Stage.TRAINING_COMPLETED, {**fields, "final_train_loss": trainer.mean_loss})
    merge_adapters(trainer.whole_model)


def publish(
    attempt: Attempt, trainer: WhisperTrainer, dataset: PreparedDataset, outcome: Outcome | None
) -> str:
    """Where the published model is, "" if it is not published; only the main process publishes."""
    if not attempt.is_main or (outcome and not outcome.is_published):
        return ""
    metadata, options = describe_release(attempt, trainer, dataset, outcome), attempt.arguments.publish
    with attempt.stage("publish", Stage.SAVING_MODEL), attempt.bar("deliver", None, "B") as bar:
        delivery = publish_model(
            trainer.whisper, metadata, attempt.folder, options, dataset.test, bar.move_to
        )
    attempt.warn(*delivery.warnings)
    return delivery.uri


if __name__ == "__main__":
    main()
