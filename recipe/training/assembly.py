"""What a run's stages are given, put together from its arguments, the model and the dataset."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import transformers
from datasets import Dataset, concatenate_datasets
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from recipe.arguments import AUDIO_AUGMENTATION, DataArguments
from recipe.data.dataset import PreparedDataset, ReportOrigin
from recipe.data.download import DownloadProgress
from recipe.data.glossary import TermFinder, fold_words, mine_rare_words
from recipe.data.recording import PreparationSettings
from recipe.data.shards import texts_of
from recipe.data.sources import Downloads
from recipe.data.validation import select_from_each
from recipe.evaluation.loss import measure_loss
from recipe.evaluation.normalization import Normalizer
from recipe.evaluation.report import Evaluation, Evaluations, evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.augmentation import Augmentation
from recipe.model.encoder_states import EncoderStates, identify_encoder, is_deterministic
from recipe.model.glossary import TermPrompts
from recipe.model.inputs import ViewProbabilities, WindowDataset
from recipe.model.preparation import preparation_settings
from recipe.model.whisper import Whisper
from recipe.run.disk import MARGIN_BYTES
from recipe.run.glossary import read_glossary
from recipe.run.launch import uses_fsdp
from recipe.run.stages import Stage
from recipe.run.summary import RATES
from recipe.screening.caption_times import TimingSettings
from recipe.screening.label_scores import LabelFits, LabelScore, list_scores, score_labels
from recipe.screening.timing_options import timing_settings
from recipe.training.arguments import Arguments, RecipeTrainingArguments, fingerprint
from recipe.training.attempt import Attempt
from recipe.training.callbacks import CheckpointCallback, PatienceCallback, ProgressCallback
from recipe.training.console import ConsoleCallback
from recipe.training.progress import StageBar
from recipe.training.telemetry import TelemetryCallback
from recipe.training.trainer import WhisperTrainer

EVALUATION_VERSION = 2
"""Of transcripts that are kept for a resume; raised whenever they would hold something else."""


def build_trainer(attempt: Attempt, whisper: Whisper, dataset: PreparedDataset) -> WhisperTrainer:
    """The trainer, with everything that it shows, saves and obeys."""
    arguments = attempt.arguments
    training = arguments.training
    selection = selection_windows(arguments, dataset)
    if len(selection):
        training.metric_for_best_model, training.greater_is_better = "wer_normalized", False
    else:
        training.eval_strategy = "no"
    trainer = WhisperTrainer(
        whisper,
        training,
        build_training_windows(
            arguments, whisper, dataset, _find_encoder_states(attempt, whisper, len(dataset.train))
        ),
        WindowDataset(selection, whisper, ViewProbabilities()) if len(selection) else None,
        fingerprint=fingerprint(arguments, dataset.fingerprint, whisper.task),
        measure=lambda: transcribe(attempt, whisper, selection, "validation", with_loss=True),
        callbacks=_list_callbacks(attempt, dataset),
    )
    has_bar = not training.disable_tqdm
    replaced = [transformers.ProgressCallback if has_bar else transformers.PrinterCallback]
    for kind in [*replaced, *get_reporting_integration_callbacks(training.report_to)]:
        trainer.remove_callback(kind)
    if has_bar:
        trainer.add_callback(ConsoleCallback())
    return trainer


def build_downloads(attempt: Attempt, bar: StageBar) -> Downloads:
    """How files are had from the backend, their progress shown and reported."""

    def show(progress: DownloadProgress) -> None:
        bar.move_to(progress.num_files_done + progress.num_files_failed, progress.num_files)
        attempt.report(Stage.DOWNLOAD_PROGRESS, vars(progress), repeats=True)

    max_bytes = round(attempt.arguments.data.max_file_gib * 2**30)
    return Downloads(attempt.backend, attempt.folder.downloads, max_bytes, show)


def build_preparation_settings(attempt: Attempt, whisper: Whisper) -> PreparationSettings:
    """What examples depend on beside the files."""
    arguments = attempt.arguments
    return preparation_settings(arguments.model, arguments.data, whisper, attempt.folder.prepared)


def describe_origin(attempt: Attempt) -> ReportOrigin:
    """Whose dataset report it is, for its head."""
    arguments = attempt.arguments
    source, model = arguments.source, arguments.model
    return ReportOrigin(
        name=source.job_id or attempt.folder.path.name,
        base_model=f"{model.model_name_or_path}{f'@{model.model_revision}' if model.model_revision else ''}",
        task=model.task,
        source=source.data_dir or source.prepared_dir or source.dataset_name or "files of the platform",
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        warnings=tuple(attempt.warnings),
    )


def build_timing_settings(attempt: Attempt, whisper: Whisper) -> TimingSettings:
    """What the times of plain text and of loose captions depend on beside the files."""
    _, model, data, evaluation, _, training = attempt.arguments
    return timing_settings(
        model,
        data,
        whisper,
        attempt.folder.aligned,
        device=training.device,
        batch_size=evaluation.eval_batch_size,
    )


def score_dataset(attempt: Attempt, whisper: Whisper, dataset: PreparedDataset) -> list[LabelScore]:
    """Scores of the windows of all sides, those to train on first. Kept for a resume."""
    arguments, decoding = attempt.arguments, decoding_of(attempt.arguments)
    depends_on = {
        **asdict(decoding),
        "task": whisper.task,
        "dataset": dataset.fingerprint,
        "model": arguments.model.model_name_or_path,
        "revision": arguments.model.model_revision,
    }
    examples = concatenate_datasets([dataset.train, dataset.validation, dataset.test])
    whisper.move_to(arguments.training.device)
    with attempt.bar("check labels", len(examples), "window") as bar:
        score = partial(
            score_labels,
            whisper,
            examples,
            decoding.batch_size,
            num_workers=arguments.training.dataloader_num_workers,
            on_batch=bar.update,
        )
        fits = attempt.cached("label_fits", LabelFits, depends_on, score)
    return list_scores(examples, fits)


def decoding_of(arguments: Arguments) -> Decoding:
    """How windows are transcribed whenever the run measures error rates."""
    return Decoding(arguments.evaluation.eval_batch_size, arguments.evaluation.evaluation_engine)


def normalizer_of(arguments: Arguments, whisper: Whisper) -> Normalizer:
    """What normalised error rates are taken by whenever the run measures them."""
    return Normalizer(arguments.evaluation.normalizer, whisper.spellings)


def describe_decoding(arguments: Arguments) -> dict[str, Any]:
    """What the transcripts of the same weights and windows depend on; ready for JSON."""
    return {**asdict(decoding_of(arguments)), "evaluation": EVALUATION_VERSION}


def selection_windows(arguments: Arguments, dataset: PreparedDataset) -> Dataset:
    """The windows by which the checkpoint and the published weights are selected."""
    return select_from_each(dataset.validation, arguments.evaluation.max_selection_windows)


def validation_loss(attempt: Attempt, whisper: Whisper, windows: Dataset) -> float:
    """The loss of the model as it is now on the windows that choose; infinite if it is of no use."""
    arguments = attempt.arguments
    num_workers, batch_size = arguments.training.dataloader_num_workers, arguments.evaluation.eval_batch_size
    with attempt.bar("select weights", len(windows), "window") as bar:
        return measure_loss(whisper, windows, batch_size, num_workers, bar.update)


def transcribe(
    attempt: Attempt,
    whisper: Whisper,
    windows: Dataset,
    part: str,
    *,
    terms: Sequence[str] = (),
    with_loss: bool = False,
) -> Evaluation:
    """Transcripts of the windows by the model as it is now, and its loss if asked.

    Args:
        attempt: Of the run.
        whisper: The model.
        windows: Of a part.
        part: "validation", "test", "test with glossary", or "other …" for speech of other kinds.
        terms: In the prompt of every window.
        with_loss: Whether the loss is measured in the same pass.
    """
    arguments = attempt.arguments
    with attempt.bar(f"transcribe {part}", len(windows), "window") as bar:
        return evaluate_model(
            whisper,
            windows,
            decoding_of(arguments),
            bar.update,
            normalizer_of(arguments, whisper),
            terms=terms,
            with_loss=with_loss,
            num_workers=arguments.training.dataloader_num_workers,
        )


def report_base(attempt: Attempt, before: Evaluations) -> None:
    """Tell how well the base model does, and learn how long an evaluation takes."""
    for part, evaluation in before.items():
        attempt.job_eta.learn(part, evaluation.seconds)
    attempt.trackers.base = {
        f"{prefix}_{name}": rate
        for part, prefix in {"validation": "eval", "test": "test"}.items()
        if part in before
        for name, rate in before[part].scores.as_dict().items()
        if name in RATES
    }
    if before:
        attempt.report(
            Stage.BASE_EVALUATED,
            {part: {**e.scores.as_dict(), "num_windows": len(e.transcripts)} for part, e in before.items()},
        )


def collect_terms(data: DataArguments, train: Dataset) -> list[str]:
    """The terms that prompts are trained with: all are said in the windows to train on, the only ones read.

    Those of the glossary come first, then the rare words. A term of the glossary that is never said there
    would only teach that terms of the prompt are not said.
    """
    texts = list(texts_of(train))
    given = TermFinder(read_glossary(Path(data.glossary)) if data.glossary else [])
    said = {number for text in texts for number in given.count(text)}
    terms = dict[tuple[str, ...], str]()
    for term in [*(given.terms[number] for number in sorted(said)), *mine_rare_words(texts)]:
        terms.setdefault(tuple(fold_words(term)), term)
    return list(terms.values())


def build_training_windows(
    arguments: Arguments, whisper: Whisper, dataset: PreparedDataset, states: EncoderStates | None = None
) -> WindowDataset:
    """The windows to train on, shown and altered as the options say; `states` are of a frozen encoder."""
    data = arguments.data
    term_prompts = None
    if data.glossary_fraction:
        terms = collect_terms(data, dataset.train)
        term_prompts = TermPrompts(terms, data.glossary_fraction, data.glossary_weight)
    return WindowDataset(
        dataset.train,
        whisper,
        ViewProbabilities(data.timestamp_fraction, data.prompt_fraction, data.single_cue_fraction),
        seed=arguments.training.seed,
        augmentation=Augmentation(*(getattr(data, name) for name in AUDIO_AUGMENTATION)),
        term_prompts=term_prompts,
        states=states,
    )


def _find_encoder_states(attempt: Attempt, whisper: Whisper, num_windows: int) -> EncoderStates | None:
    """Where the states of a frozen encoder are kept; None where they do not come again or are not wanted."""
    options, training = attempt.arguments.model, attempt.arguments.training
    num_epochs = training.count_epochs(num_windows)
    if not (options.freeze_encoder and options.keep_encoder_states) or num_epochs < 2:
        return None
    model = whisper.model
    reasons = ["FSDP has no whole encoder"] * uses_fsdp()
    reasons += ["the checkpoint's config drops activations at random"] * (not is_deterministic(model.config))
    if reasons:
        attempt.warn(f"The encoder's states are not kept, each epoch computes them anew: {reasons[0]}.")
        return None
    return EncoderStates(
        attempt.folder.encoder_states,
        (model.config.max_source_positions, model.config.d_model),
        identify_encoder(model, training.autocast_dtype),
        num_epochs,
        count_checkpoint_bytes(whisper, training),
    )


def count_checkpoint_bytes(whisper: Whisper, training: RecipeTrainingArguments) -> int:
    """About what checkpoints and model take on disk: weights, and two moments of those trained."""
    weights = list(whisper.model.parameters())
    num_bytes = sum(weight.numel() * (12 if weight.requires_grad else 4) for weight in weights)
    return MARGIN_BYTES + num_bytes * (1 + (training.save_total_limit or 3))


def _list_callbacks(attempt: Attempt, dataset: PreparedDataset) -> list[transformers.TrainerCallback]:
    training, train = attempt.arguments.training, dataset.train
    callbacks: list[transformers.TrainerCallback] = [attempt.trackers, TelemetryCallback(attempt.folder.logs)]
    if attempt.is_main:
        seconds_per_window = (sum(train["end_ms"]) - sum(train["start_ms"])) / 1000 / len(train)
        audio_seconds_per_update = seconds_per_window * training.windows_per_update
        callbacks.append(ProgressCallback(attempt.outbox, audio_seconds_per_update, attempt.job_eta))
    # Last, since it may end the run.
    return [*callbacks, PatienceCallback(), CheckpointCallback(attempt.stop, training.save_minutes * 60)]
