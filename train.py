#!/usr/bin/env python
"""Fine-tune Whisper on people's recordings and captions.

    accelerate launch --config_file accelerate_configs/single_gpu.yaml train.py \
        --data_dir recordings/ --model_name_or_path openai/whisper-small --language fr --output_dir runs/fr

One GPU: single_gpu.yaml; several: multi_gpu.yaml; none: cpu.yaml. Instead of flags, one .yaml or .json
file. Run the same command again after any interruption: it goes on from the last whole checkpoint.
"""

import json
import logging
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import datasets
import transformers
from tqdm.auto import tqdm
from transformers import WhisperForConditionalGeneration, WhisperProcessor, set_seed

from recipe.arguments import caption_language
from recipe.data.audio import AudioLimits
from recipe.data.download import DownloadProgress, FileRequest, download_files, local_name
from recipe.data.label_doubts import WindowFit, hold_back
from recipe.data.manifest import (
    LocalFile,
    ManifestEntry,
    Recording,
    list_folder,
    locate_files,
    pair_recordings,
)
from recipe.data.preparation import PreparedDataset, prepare_dataset, write_dataset_report
from recipe.data.recording import PreparationSettings
from recipe.data.shares import node_share
from recipe.data.split import select_from_each
from recipe.errors import RecipeError, TrainingError
from recipe.evaluation.once import make_once
from recipe.evaluation.report import Evaluation, compare, evaluate_model, write_report
from recipe.evaluation.transcription import Decoding, Listener
from recipe.job import Stage
from recipe.processes import die_with_parent
from recipe.publish.delivery import check_delivery, default_destination, deliver
from recipe.publish.facts import ReleaseFacts
from recipe.publish.staging import stage_model
from recipe.publish.verification import verify_release
from recipe.system import system_stats
from recipe.training.adapters import add_adapters, merge_adapters
from recipe.training.arguments import Arguments, fingerprint, parse_arguments
from recipe.training.augmentation import Augmentation
from recipe.training.averaging import AveragingCallback, read_ends
from recipe.training.blending import Blender, measure_loss
from recipe.training.callbacks import CheckpointCallback, ProgressCallback
from recipe.training.checkpoints import find_checkpoint
from recipe.training.choice import ALPHAS, Choice, Verdict, choose_weights
from recipe.training.features import LabelEncoder, ViewShares, WindowDataset
from recipe.training.label_check import score_windows
from recipe.training.languages import check_language, check_task, settle_languages
from recipe.training.model import is_multilingual, load_model, save_tokenizer, suppressed_symbols
from recipe.training.result import build_result
from recipe.training.run import Run, configure_logging, local_main_first
from recipe.training.self_test import prepare_self_test
from recipe.training.telemetry import TelemetryCallback
from recipe.training.trainer import WhisperTrainer

logger = logging.getLogger("train")


def main() -> None:
    """Run the whole pipeline on this process; every process that Accelerate starts does the same."""
    # A launcher does not end its processes when it is killed.
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        die_with_parent(signal.SIGTERM)
    try:
        arguments = parse_arguments()
        configure_logging()
        attempt = Run(Path(arguments.training.output_dir), arguments.source, os.environ)
    except RecipeError as error:
        sys.exit(str(error))
    with attempt as run:
        run_pipeline(prepare_self_test(arguments) if arguments.run.self_test else arguments, run)


def run_pipeline(arguments: Arguments, run: Run) -> None:
    """From arguments to a delivered model: the stages in order, data flowing downwards."""
    set_seed(arguments.training.seed)
    announce(arguments, run)
    model, processor = load(arguments, run)
    recordings = collect_recordings(arguments, run, processor)
    data, decoding = prepare(arguments, run, model, processor, recordings)
    listener = Listener(model, processor, decoding)
    data = check_labels(arguments, run, listener, data)
    trainer = build_trainer(arguments, run, listener, data)
    before = measure_before(run, trainer, listener, data)
    train(arguments, run, trainer)
    verdict = measure_after(arguments, run, trainer, listener, data, before)
    model_path = publish(arguments, run, trainer, listener, data, verdict)
    run.finish(build_result(arguments, run, trainer, data, verdict, model_path))


def announce(arguments: Arguments, run: Run) -> None:
    """Tell that the run begins, and refuse a destination that cannot work before anything is paid for."""
    fields = {
        "base_model": arguments.model.model_name_or_path,
        "epochs": arguments.training.num_train_epochs,
        "system_stats": system_stats(run.output_dir),
    }
    run.report(Stage.INITIALIZING, fields)
    if run.is_main:
        default_dir, _ = default_destination(run.output_dir)
        check_delivery(arguments.run.publish_to, default_dir=default_dir)


def load(arguments: Arguments, run: Run) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """The base model and its processor."""
    with run.timed("load_model"), local_main_first():
        run.report(Stage.LOADING_MODEL)
        model, processor = load_model(arguments.model)
    run.warnings += check_task(arguments.model, model)
    fields = {"model_parameters": model.num_parameters(), "system_stats": system_stats(run.output_dir)}
    run.report(Stage.MODEL_LOADED, fields)
    return model, processor


def collect_recordings(arguments: Arguments, run: Run, processor: WhisperProcessor) -> list[Recording]:
    """The recordings: files of the folder, or of the manifest once they are downloaded."""
    run.report(Stage.PREPARING_DATASET)
    source = arguments.source
    with run.timed("download"):
        if source.data_dir:
            folder = Path(source.data_dir)
            entries = list_folder(folder)
            files = locate_files(folder, entries)
        else:
            assert source.manifest_file
            manifest = json.loads(Path(source.manifest_file).read_text())
            entries = [ManifestEntry(**entry) for entry in manifest]
            with local_main_first():
                files = download(arguments, run, entries)
    spoken = check_language(arguments.model.language, processor)
    return pair_recordings(entries, files, caption_language(spoken, arguments.model.task))


def download(arguments: Arguments, run: Run, entries: list[ManifestEntry]) -> dict[str, LocalFile]:
    """Where each file of the manifest is on disk, or why it could not be had."""
    assert run.backend
    folder = run.output_dir / "downloads"
    requests = [
        FileRequest(entry.filename, entry.file_type, folder / local_name(entry.filename)) for entry in entries
    ]
    with tqdm(total=len(requests), desc="download", unit="file", disable=not run.is_main) as bar:

        def show(progress: DownloadProgress) -> None:
            bar.update(progress.num_files_done + progress.num_files_failed - bar.n)
            run.report(Stage.DOWNLOAD_PROGRESS, vars(progress), repeats=True)

        downloads = download_files(
            run.backend,
            arguments.source.user_id,
            requests,
            max_bytes_per_file=round(arguments.data.max_file_gib * 2**30),
            on_progress=show,
        )
    return {item.filename: LocalFile(item.path, item.error or "") for item in downloads}


def prepare(
    arguments: Arguments,
    run: Run,
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    recordings: list[Recording],
) -> tuple[PreparedDataset, Decoding]:
    """The Arrow dataset, split, and what the model is told when it listens."""
    folder = run.output_dir / "prepared"
    with run.timed("prepare"), local_main_first():
        recordings, remarks = settle_languages(recordings, arguments.model, model, processor)
        settings = PreparationSettings(
            tokenizer_file=save_tokenizer(processor, folder),
            task=arguments.model.task,
            empty_transcript=arguments.data.empty_transcript,
            no_speech_fraction=arguments.data.no_speech_fraction,
            suppressed_symbols=suppressed_symbols(model, processor),
            limits=AudioLimits(max_seconds=arguments.data.max_audio_hours * 3600),
        )
        with tqdm(total=len(recordings), desc="prepare", unit="recording", disable=not run.is_main) as bar:
            data = prepare_dataset(
                recordings,
                settings,
                arguments.data,
                folder,
                share=node_share(os.environ),
                on_recording=lambda _: bar.update(),
            )
    if run.is_main:
        write_dataset_report(folder, data)
    run.warnings += remarks
    options = arguments.run
    task = arguments.model.task if is_multilingual(model) else None
    return data, Decoding(task, options.eval_batch_size, options.evaluation_engine)


def check_labels(
    arguments: Arguments, run: Run, listener: Listener, data: PreparedDataset
) -> PreparedDataset:
    """The dataset without the training windows whose words the base model does not hear in their audio."""
    training = arguments.training
    is_on = {"on": True, "off": False, "auto": training.device.type == "cuda"}
    if is_on[arguments.data.label_check]:
        folder = run.output_dir / "prepared"
        examples = datasets.concatenate_datasets([data.train, data.held_out])
        depends_on = {
            **vars(listener.decoding),
            "dataset": data.fingerprint,
            "model": arguments.model.model_name_or_path,
            "revision": arguments.model.model_revision,
        }
        listener.model.to(training.device)  # type: ignore[arg-type]  # the decorator of transformers hides `self`
        score = partial(score_windows, listener, examples, num_workers=training.dataloader_num_workers)
        with (
            run.timed("check_labels"),
            tqdm(total=len(examples), desc="check labels", unit="window", disable=not run.is_main) as bar,
        ):
            fits = make_once(
                folder / "label_fits.json", list[WindowFit], depends_on, partial(score, on_batch=bar.update)
            )
        data = hold_back(data, fits, arguments.data.label_check_max_fraction)
        logger.info("The label check held back %s windows.", data.report["num_held_back_windows"])
        if run.is_main:
            write_dataset_report(folder, data)
    run.warnings += data.warnings
    run.report(Stage.DATASET_READY, {"train_samples": len(data.train), "eval_samples": len(data.held_out)})
    return data


def build_trainer(
    arguments: Arguments, run: Run, listener: Listener, data: PreparedDataset
) -> WhisperTrainer:
    """The trainer, with everything that it shows, saves and obeys."""
    training, processor, decoding = arguments.training, listener.processor, listener.decoding
    encoder = LabelEncoder(processor.tokenizer, decoding.task)
    shares = ViewShares(
        arguments.data.timestamp_fraction, arguments.data.prompt_fraction, arguments.data.single_cue_fraction
    )
    augmentation = Augmentation(
        arguments.data.speed_fraction, arguments.data.noise_fraction, arguments.data.spec_augment_fraction
    )
    windows = partial(
        WindowDataset, extractor=processor.feature_extractor, encoder=encoder, seed=training.seed
    )
    selection = select_windows(arguments, data)
    if len(selection):
        training.metric_for_best_model, training.greater_is_better = "wer_normalized", False
    else:
        training.eval_strategy = "no"
    mean_seconds = (sum(data.train["end_ms"]) - sum(data.train["start_ms"])) / 1000 / len(data.train)
    callbacks: list[transformers.TrainerCallback] = [TelemetryCallback(run.output_dir / "logs")]
    if run.is_main:
        callbacks.append(ProgressCallback(run.outbox, mean_seconds * training.windows_per_update))
    # Last, since it may end the run.
    callbacks.append(CheckpointCallback(run.stop, arguments.run.save_minutes * 60))
    trainer = WhisperTrainer(
        listener.model,
        training,
        windows(data.train, shares=shares, augmentation=augmentation),
        windows(selection, shares=ViewShares()) if len(selection) else None,
        pad_token_id=encoder.end_of_text,
        fingerprint=fingerprint(arguments, data.fingerprint, decoding.task),
        measure=lambda: evaluate_model(listener, selection),
        callbacks=callbacks,
    )
    if arguments.run.average_checkpoints:
        trainer.add_callback(
            AveragingCallback(arguments.run.average_checkpoints, trainer.save_merged, trainer.fingerprint)
        )
    return trainer


def select_windows(arguments: Arguments, data: PreparedDataset) -> datasets.Dataset:
    """The held-out windows by which weights are chosen."""
    return select_from_each(data.held_out, arguments.run.max_selection_windows)


def measure_before(
    run: Run, trainer: WhisperTrainer, listener: Listener, data: PreparedDataset
) -> Evaluation | None:
    """How the base model hears all held-out windows; None if there are none. Kept for a resume."""
    if not len(data.held_out):
        return None
    path = run.output_dir / "heard_before.json"
    with run.timed("evaluate_before"):
        return make_once(
            path,
            Evaluation,
            {**trainer.fingerprint, **vars(listener.decoding)},
            lambda: measure(run, "base model", listener, data),
        )


def measure(run: Run, name: str, listener: Listener, data: PreparedDataset) -> Evaluation:
    """How the model, as it is now, hears all held-out windows."""
    with tqdm(
        total=len(data.held_out), desc=f"listen ({name})", unit="window", disable=not run.is_main
    ) as bar:
        return evaluate_model(listener, data.held_out, on_batch=bar.update)


def train(arguments: Arguments, run: Run, trainer: WhisperTrainer) -> None:
    """Train, from the last whole checkpoint if there is one, and take up the weights with the lowest WER."""
    with local_main_first():
        checkpoint = find_checkpoint(run.output_dir, trainer.fingerprint)
    if checkpoint:
        run.report(Stage.RESUMED, {"checkpoint": checkpoint.name}, repeats=True)
        logger.info("Going on from %s.", checkpoint)
    training = arguments.training
    configuration = {
        "epochs": training.num_train_epochs,
        "batch_size": training.per_device_train_batch_size,
        "learning_rate": training.learning_rate,
        "max_steps": trainer.num_updates,
    }
    stats = system_stats(run.output_dir)
    run.report(Stage.STARTING_TRAINING, {"configuration": configuration, "system_stats": stats})
    add_adapters(trainer.whole_model, arguments.model, training.seed)
    with run.timed("train"):
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.state.max_steps:
        raise TrainingError(
            f"Training ended at update {trainer.state.global_step} of {trainer.state.max_steps}; "
            "run the same command again to go on."
        )
    run.warnings += trainer.warnings
    fields = {
        "train_runtime": outcome.metrics["train_runtime"],
        "train_samples_per_second": outcome.metrics["train_samples_per_second"],
        "final_train_loss": trainer.mean_loss,
    }
    run.report(Stage.TRAINING_COMPLETED, fields)
    trainer.take_best_weights()
    merge_adapters(trainer.whole_model)


def measure_after(
    arguments: Arguments,
    run: Run,
    trainer: WhisperTrainer,
    listener: Listener,
    data: PreparedDataset,
    before: Evaluation | None,
) -> Verdict | None:
    """How the weights that are chosen hear the same windows; reports both. None if there are none."""
    if before is None:
        unused = "average_checkpoints was not used: nothing is held out to judge the mean by."
        run.warnings += [unused] * bool(arguments.run.average_checkpoints)
        return None
    choice = choose(arguments, run, trainer, listener, data, before)
    after = choice.evaluation
    if len(after.transcripts) < len(data.held_out):
        with run.timed("evaluate_after"):
            after = measure(run, "trained model", listener, data)
    verdict = Verdict(before, after, choice, arguments.run.publish_if_worse)
    run.report(Stage.EVALUATION_COMPLETED, verdict.as_dict())
    run.warnings += [verdict.remark] * bool(verdict.remark)
    if run.is_main:
        facts = {**vars(listener.decoding), "choice": verdict.describe_choice()}
        write_report(run.output_dir / "report.json", before, after, facts)
    return verdict


def choose(
    arguments: Arguments,
    run: Run,
    trainer: WhisperTrainer,
    listener: Listener,
    data: PreparedDataset,
    before: Evaluation,
) -> Choice:
    """Give the model the weights that the run ends with, chosen on held-out windows. Kept for a resume."""
    windows = select_windows(arguments, data)
    base, _ = load_model(arguments.model)
    ends, remark = read_ends(
        listener.model, run.output_dir, trainer.num_updates, arguments.run.average_checkpoints
    )
    run.warnings += [remark] * bool(remark)
    blender = Blender(listener.model, dict(base.named_parameters()), ends)

    def surprise(end: str, alpha: float) -> float:
        blender.take(end, alpha)
        return measure_loss(listener, windows, arguments.training.dataloader_num_workers)

    def transcribe(end: str, alpha: float) -> Evaluation:
        if (end, alpha) == ("trained", 1.0) and trainer.best_evaluation:
            return trainer.best_evaluation
        blender.take(end, alpha)
        return evaluate_model(listener, windows)

    alphas = list(ALPHAS) if arguments.run.interpolate else []
    depends_on = {**trainer.fingerprint, "ends": list(ends), "alphas": alphas, "num_windows": len(windows)}
    places = set(zip(windows["recording"], windows["start_ms"], strict=True))
    transcripts = [item for item in before.transcripts if (item.recording, item.start_ms) in places]
    same_windows = Evaluation(transcripts, before.seconds)
    with run.timed("evaluate_after"):
        choice = make_once(
            run.output_dir / "choice.json",
            Choice,
            depends_on,
            lambda: choose_weights(list(ends), alphas, same_windows, surprise, transcribe),
        )
    blender.take(choice.chosen.end, choice.chosen.alpha)
    logger.info("Took the weights %s.", choice.chosen)
    return choice


def publish(
    arguments: Arguments,
    run: Run,
    trainer: WhisperTrainer,
    listener: Listener,
    data: PreparedDataset,
    verdict: Verdict | None,
) -> str:
    """Where the released model is, "" if it is not; only the main process releases it."""
    if not run.is_main:
        return ""
    if verdict and not verdict.is_released:
        logger.warning("%s", verdict.remark)
        return ""
    run.report(Stage.SAVING_MODEL)
    facts = ReleaseFacts(
        base_model=arguments.model.model_name_or_path,
        base_revision=arguments.model.model_revision,
        languages=tuple(data.report["languages"]) if listener.decoding.task else (),
        task=arguments.model.task,
        job_id=arguments.source.job_id,
        project_id=arguments.source.project_id,
        num_steps=trainer.state.global_step,
        max_steps=trainer.state.max_steps,
        epochs=arguments.training.num_train_epochs,
        figures=compare(verdict.before, verdict.after) if verdict else {},
        choice=verdict.describe_choice() if verdict else {},
        dataset={name: value for name, value in data.report.items() if isinstance(value, int | float)},
        settings={k: v for k, v in trainer.fingerprint.items() if k != "model"},  # it may be a local path
        versions={module.__name__: module.__version__ for module in (transformers, datasets)},
        num_warnings=len(run.warnings),
    )
    staging = run.output_dir / "staging"
    default_dir, warning = default_destination(run.output_dir)
    with run.timed("publish"):
        stage_model(listener.model, listener.processor, facts, staging)
        verify_release(staging, listener.model)
        with tqdm(desc="deliver", unit="B", unit_scale=True) as bar:

            def show(num_done: int, num_bytes: int) -> None:
                bar.total = num_bytes
                bar.update(num_done - bar.n)

            delivery = deliver(staging, arguments.run.publish_to, default_dir=default_dir, on_progress=show)
    if warning and not arguments.run.publish_to:
        run.warnings.append(warning)
    run.warnings += delivery.warnings
    shutil.rmtree(staging)
    return delivery.uri


if __name__ == "__main__":
    main()
