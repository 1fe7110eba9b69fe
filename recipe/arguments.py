"""Every option of a run with its bounds, and the rules between options.

`train.py` reads them as flags or from a YAML or JSON file; a job's `options` use the same names. Both doors
ask `find_problems` for bounds and `find_contradictions` for rules, so both refuse with the same sentence.
Trainer's own arguments (`Seq2SeqTrainingArguments`) come on top; those that a job may set are listed in
`TrainerOptions`. Nothing heavy is imported here: the RunPod handler validates a job without torch.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, create_model

from recipe.errors import JobError

MAX_PROBLEMS_NAMED = 20

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


@dataclass
class SourceArguments:
    """Where the recordings come from and where progress goes."""

    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder of audio files with their captions beside them, or with a table of sentences "
            "(metadata.csv, a TSV, a JSON manifest); no backend is needed."
        },
    )
    prepared_dir: str | None = field(
        default=None,
        metadata={
            "help": "Compacted dataset to train from, as scripts/prepare.py --compacted_dir makes it; the "
            "recordings themselves are not needed. A folder, s3://bucket/prefix, hf://datasets/owner/name or "
            "https://host/folder; keys are read from AWS_… and HF_TOKEN."
        },
    )
    dataset_name: str | None = field(
        default=None,
        metadata={
            "help": "Hub id of a dataset of sentences, or a local folder of parquet or Arrow files; rows are "
            "streamed."
        },
    )
    dataset_config: str | None = field(
        default=None, metadata={"help": "Configuration of the dataset, often its language."}
    )
    dataset_split: str | None = field(
        default=None,
        metadata={
            "help": "Splits to read, joined by +. Default: all, those for validation and test to measure on."
        },
    )
    dataset_max_rows: Annotated[int, Field(ge=1)] | None = field(
        default=None, metadata={"help": "Rows to read of each split, from its beginning; all if not given."}
    )
    cache_gib: Annotated[float, Field(ge=0.0, le=1_000_000.0, allow_inf_nan=False)] = field(
        default=10.0,
        metadata={
            "help": "With a remote prepared_dir: most GiB of sounds that are kept on this machine, so that "
            "later epochs need not read them again; 0 keeps none."
        },
    )
    cache_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder for those sounds, of each machine by itself; they stay there for the next run. "
            "Default: in the run's folder, while it trains."
        },
    )
    audio_column: str | None = field(
        default=None,
        metadata={"help": "Column of the sounds; found by its type, name or content if not given."},
    )
    text_column: str | None = field(
        default=None, metadata={"help": "Column of the words; found by its name or content if not given."}
    )
    speaker_column: str | None = field(
        default=None,
        metadata={"help": "Column that says who speaks, which keeps a voice on one side of the split."},
    )
    manifest_file: str | None = field(
        default=None,
        metadata={"help": "JSON file with the list of files to download from the backend."},
    )
    backend_base_url: str | None = field(
        default=None,
        metadata={
            "help": "Address of the platform's backend: files come from it and progress goes to it. "
            "Credentials are read from WHISPERTRAIN_AUTH_TOKEN or WHISPERTRAIN_WORKER_API_KEY."
        },
    )
    user_id: str = field(default="", metadata={"help": "Owner of the files; a part of their address."})
    project_id: str = field(default="", metadata={"help": "Project that the run belongs to."})
    job_id: str = field(default="", metadata={"help": "Name of the run in progress events."})
    check_data: bool = field(
        default=False,
        metadata={
            "help": "Prepare the recordings, print what would be trained, what would not and why, how long it"
            " would take and what memory it needs, and end: 0 if they can be trained on. No GPU is touched."
        },
    )
    self_test: bool = field(
        default=False,
        metadata={
            "help": "Train two steps of a tiny random model on synthetic sound; needs no data and no network."
        },
    )


@dataclass
class ModelArguments:
    """Which model is trained, for which language and task."""

    model_name_or_path: str = field(
        default="openai/whisper-tiny", metadata={"help": "Hub id or local folder of a Whisper checkpoint."}
    )
    model_revision: str | None = field(
        default=None, metadata={"help": "Commit or tag of a hub checkpoint; the default branch if not given."}
    )
    language: Annotated[str, Field(max_length=40)] | None = field(
        default=None,
        metadata={
            "help": "Language spoken in all recordings, as a code (fr) or English name (french). Default, "
            "for each recording: the tag of its captions (talk.fr.vtt, or Language: in the file), else what "
            "the base model detects. Unused by English-only checkpoints."
        },
    )
    task: Literal["transcribe", "translate"] = field(
        default="transcribe",
        metadata={
            "help": "transcribe: captions are in the language spoken; translate: they are in English, and "
            "their tags say nothing about the language spoken."
        },
    )
    freeze_encoder: bool = field(default=False, metadata={"help": "Train the decoder only."})
    keep_encoder_states: bool = field(
        default=True,
        metadata={
            "help": "With freeze_encoder and several epochs: the encoder's states are rounded to bfloat16 "
            "and kept in the run's folder while there is room, so that later epochs skip the encoder. An "
            "hour of speech takes 0.2 GB with base, 0.5 GB with large, two or three times that with all ways "
            "to show a window. Not beside speed, noise, channel or spec_augment_fraction."
        },
    )
    lora_rank: Annotated[int, Field(ge=0, le=1024)] = field(
        default=0,
        metadata={
            "help": "Rank of the adapters that are trained in place of the weights (LoRA) and merged before "
            "publishing; 0 trains the weights. Wants a learning_rate ten to fifty times as high."
        },
    )
    lora_alpha: Annotated[float, Field(gt=0.0, le=10_000.0, allow_inf_nan=False)] | None = field(
        default=None,
        metadata={
            "help": "The adapters count lora_alpha / sqrt(lora_rank) times (rsLoRA). Not given, it is "
            "sqrt(32): once at rank 32, twice at rank 8."
        },
    )
    lora_dora: bool = field(
        default=False,
        metadata={
            "help": "Whether the adapters turn the rows of the weights, and their lengths are trained apart "
            "(DoRA); keeps twice the activations."
        },
    )


_LANGUAGE_TAG = re.compile(r"[A-Za-z][A-Za-z -]+")


def split_other_dir(text: str) -> tuple[str, str | None]:
    r"""The folder and the language of an item of `FOLDER_OPTIONS`.

    A colon of Windows (`C:\talks`) or of `s3://` is none.

    The language is what follows the last colon, if that is letters and what precedes it is no drive.
    """
    folder, _, language = text.rpartition(":")
    is_told = len(folder) > 1 and _LANGUAGE_TAG.fullmatch(language)
    return (folder, language) if is_told else (text, None)


FOLDER_OPTIONS = ("other_dir", "replay_dir", "replay_audio_dir")
"""Options that name folders of other speech, which a job may do below the operator's only."""

UNSPACED_LANGUAGES = frozenset({"zh", "yue", "ja", "th", "lo", "my"})
"""Languages whose words no space divides: Whisper begins a text in them without one (openai/whisper's
`split_to_word_tokens` has the same list)."""


def caption_language(language: str | None, task: str | None) -> str | None:
    """Code of the language that captions are written in, where `language` is spoken."""
    return "en" if task == "translate" else language


@dataclass
class DataArguments:
    """How recordings become examples."""

    eval_fraction: Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)] = field(
        default=0.1,
        metadata={
            "help": "Fraction of each language's speech to hold out, in whole recordings, to choose weights "
            "by (a quarter of it) and to measure them; at least 1,900 words once 3,000 are left to train on, "
            "at most about 10 hours."
        },
    )
    max_fallback_fraction: Fraction = field(
        default=0.1,
        metadata={
            "help": "Fraction of the windows that may be silence standing in for bad data before the run is "
            "refused; recordings that are skipped have no windows."
        },
    )
    empty_transcript: Literal["auto", "minimal", "skip", "fail"] = field(
        default="auto",
        metadata={
            "help": "A recording whose captions are missing or empty: auto trains silent audio as silence "
            "and skips audible speech; minimal always trains it as silence; skip; fail."
        },
    )
    auto_captions: Literal["use", "skip"] = field(
        default="use",
        metadata={
            "help": "Captions that a machine made, where people made none: use trains on another model's "
            "words and says so; skip leaves those recordings out."
        },
    )
    timestamp_fraction: Fraction = field(
        default=0.8, metadata={"help": "Fraction of the examples trained with timestamp tokens."}
    )
    prompt_fraction: Fraction = field(
        default=0.5,
        metadata={"help": "Fraction of the examples that see the text before the window as prompt."},
    )
    glossary: str | None = field(
        default=None,
        metadata={
            "help": "UTF-8 file of terms, one a line, most important first (in a job: the list of terms). "
            "The test part is transcribed once more with them in the prompt, before training and after it."
        },
    )
    glossary_fraction: Fraction = field(
        default=0.0,
        metadata={
            "help": "Fraction of the examples whose prompt holds terms, a few of them said there: rare words "
            "of what is trained on, and terms of the glossary that are said in it."
        },
    )
    glossary_weight: Annotated[float, Field(ge=1.0, le=10.0, allow_inf_nan=False)] = field(
        default=1.0,
        metadata={"help": "How much the tokens of terms that are in prompt and window count in the loss."},
    )
    single_cue_fraction: Fraction = field(
        default=0.1,
        metadata={
            "help": "Fraction of the examples cut down to one cue, so that short inputs stay familiar."
        },
    )
    speed_fraction: Fraction = field(
        default=0.0,
        metadata={
            "help": "Fraction of the examples played a tenth slower or faster, where they then fit in 30 s."
        },
    )
    noise_fraction: Fraction = field(
        default=0.0, metadata={"help": "Fraction of the examples with noise, 5 to 40 dB below the sound."}
    )
    channel_fraction: Fraction = field(
        default=0.0,
        metadata={
            "help": "Fraction of the examples that come over another channel: a room, an input that clips, a "
            "telephone or a codec (mu-law, AMR, Opus, MP3)."
        },
    )
    spec_augment_fraction: Fraction = field(
        default=0.0,
        metadata={
            "help": "Fraction of the examples of which a band of frequencies and twice up to a second are "
            "silenced."
        },
    )
    no_speech_fraction: Fraction = field(
        default=0.1,
        metadata={
            "help": "Fraction of the gaps of at least 5 s between captions that is trained as silence, where "
            "a voice detector finds no voice; at most this fraction of the windows with speech."
        },
    )
    replay_dir: list[str] | None = field(
        default=None,
        metadata={
            "help": "Folder of other speech with captions, FOLDER or FOLDER:language, of which some is "
            "trained too, so that the base model forgets less; may be given several times.",
            "action": "extend",
        },
    )
    replay_audio_dir: list[str] | None = field(
        default=None,
        metadata={
            "help": "The same without captions: the base model transcribes it, and what it is sure of is "
            "trained.",
            "action": "extend",
        },
    )
    replay_fraction: Annotated[float, Field(gt=0.0, le=0.9, allow_inf_nan=False)] = field(
        default=0.2, metadata={"help": "Fraction of all trained windows that are replayed, if any are."}
    )
    label_check: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "Whether the base model judges if the captions are those of their audio, and windows far "
            "out of the distribution are not trained; auto does where there is a GPU."
        },
    )
    label_check_max_fraction: Annotated[float, Field(ge=0.0, le=0.5, allow_inf_nan=False)] = field(
        default=0.25,
        metadata={"help": "Fraction of the training windows that the label check may exclude, worst first."},
    )
    retime: Literal["auto", "on", "off"] = field(
        default="auto",
        metadata={
            "help": "Whether the base model judges if captions are on time, and loose ones are put where "
            "their words are spoken; auto does where the label check runs."
        },
    )
    max_audio_hours: Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)] = field(
        default=12.0, metadata={"help": "Longest recording that is accepted, in hours."}
    )
    max_file_gib: Annotated[float, Field(gt=0.0, le=100.0, allow_inf_nan=False)] = field(
        default=8.0, metadata={"help": "Largest file that is downloaded, in GiB."}
    )

    def judges_labels(self, *, on_gpu: bool) -> bool:
        """Whether the base model judges the captions' words; auto does where it runs on a GPU."""
        return self.label_check == "on" or (self.label_check == "auto" and on_gpu)

    def judges_times(self, *, on_gpu: bool) -> bool:
        """Whether the base model judges the captions' times; auto does where it judges their words."""
        return self.judges_labels(on_gpu=on_gpu) if self.retime == "auto" else self.retime == "on"


@dataclass
class EvaluationArguments:
    """How error rates are measured and the published weights are selected."""

    eval_batch_size: Annotated[int, Field(ge=1, le=256)] = field(
        default=8, metadata={"help": "Windows transcribed together when WER is measured."}
    )
    evaluation_engine: Literal["transformers", "ctranslate2"] = field(
        default="transformers",
        metadata={
            "help": "What transcribes when WER is measured: transformers, or ctranslate2 (faster-whisper's "
            "engine)."
        },
    )
    max_selection_windows: Annotated[int, Field(ge=1)] = field(
        default=200,
        metadata={
            "help": "Validation windows transcribed at the end of an epoch to choose the best checkpoint."
        },
    )
    normalizer: Literal["whispertrain", "whisper"] = field(
        default="whispertrain",
        metadata={
            "help": "What normalised error rates are taken on, also to choose by: whispertrain counts a word "
            "right in every script; whisper is Whisper's own, for comparison with published figures."
        },
    )
    long_form: Literal["auto", "on", "cuts", "off"] = field(
        default="auto",
        metadata={
            "help": "Whether test recordings are transcribed too, before and after training, not only their "
            "windows. on: whole, by faster-whisper as people use it: word errors, times, words written where "
            "nobody speaks. cuts: cut every 30 seconds, an hour at most. auto: on where there is a GPU, else "
            "cuts, six minutes at most and one for each 16 windows trained."
        },
    )
    other_dir: list[str] | None = field(
        default=None,
        metadata={
            "help": "Folder of other speech with captions, FOLDER or FOLDER:language; may be given several "
            "times. Never trained on, it tells what training cost there, and weighs when weights are "
            "selected.",
            "action": "extend",
        },
    )
    max_forgetting: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)] = field(
        default=1.0,
        metadata={
            "help": "Points of normalised WER that the published weights may lose to the base model on any "
            "other_dir; weights that lose more are passed over where others are better than the base model "
            "too."
        },
    )
    interpolate: bool = field(
        default=True,
        metadata={
            "help": "Whether weights between the base model's and the trained ones are tried too, to keep "
            "what the base model knows of other speech; selected on the validation part."
        },
    )


@dataclass
class PublishArguments:
    """Whether and where the finished model is delivered."""

    publish_to: str | None = field(
        default=None,
        metadata={
            "help": "Where the finished model is delivered: a folder, s3://bucket/prefix or hub:owner/name. "
            "Default: the RunPod network volume if one is mounted, else the run's own folder."
        },
    )
    publish_if_worse: bool = field(
        default=False,
        metadata={
            "help": "Publish the model even if its WER on the test part is not lower than the base model's."
        },
    )
    publish_dtype: Literal["auto", "float16", "float32"] = field(
        default="auto",
        metadata={
            "help": "Precision of the published weights. auto takes float16, half the size, where that "
            "raises the loss on the validation part by half a percent at most, else float32."
        },
    )
    export: str | None = field(
        default=None,
        metadata={
            "help": "Formats that are delivered with the model, joined by commas: ct2 (faster-whisper), ggml "
            "(whisper.cpp), pt (openai-whisper)."
        },
    )


@dataclass
class TrainerOptions:
    """The bounds of arguments of `Seq2SeqTrainingArguments`; meaning and default are Trainer's."""

    num_train_epochs: Annotated[float, Field(gt=0.0, le=1000.0, allow_inf_nan=False)] | None = None
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] | None = None
    patience: Annotated[int, Field(ge=0, le=1000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    max_steps: Annotated[int, Field(ge=-1, le=10_000_000)] = -1
    warmup_steps: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] = 0.0
    max_grad_norm: Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = 1.0
    label_smoothing_factor: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.0
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = 1
    activation_checkpointing: bool = False
    torch_compile: bool = False
    report_to: str | list[str] = "tensorboard"
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    save_steps: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 500
    save_minutes: Annotated[float, Field(gt=0.0, le=1440.0, allow_inf_nan=False)] = 10.0


OPTION_GROUPS: tuple[type, ...] = (
    *(ModelArguments, DataArguments),
    *(EvaluationArguments, PublishArguments, TrainerOptions),
)
"""The groups whose names a job's `options` may use."""

JOB_FIELDS = {
    "model_id": "model_name_or_path",
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "learning_rate": "learning_rate",
}
"""Options that a job gives by fields of its own, not in its `options`, and their names there."""


def option_names() -> frozenset[str]:
    """The names that a job's `options` may hold."""
    return frozenset(f.name for group in OPTION_GROUPS for f in fields(group)) - {*JOB_FIELDS.values()}


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is no option, with the nearest one that is; a flag keeps its dashes."""
    dashes, plain = ("--", name[2:]) if name.startswith("--") else ("", name)
    known = set(known)
    near = (
        [JOB_FIELDS[plain]]
        if JOB_FIELDS.get(plain) in known
        else get_close_matches(plain, known, n=1, cutoff=0.75)
    )
    near = near or sorted(option for option in known if plain in option)
    return f"{name} is not an option{f'; did you mean {dashes}{near[0]}?' if near else ''}"


def find_problems(group: type, values: Mapping[str, Any]) -> list[str]:
    """One sentence for each value out of bounds and each unknown name; judged strictly (no "3" for 3)."""
    hints = get_type_hints(group, include_extras=True)
    schema = {f.name: (hints[f.name], f.default) for f in fields(group)}
    model = create_model(  # type: ignore[call-overload]
        group.__name__, __config__=ConfigDict(strict=True, extra="forbid", protected_namespaces=()), **schema
    )
    try:
        model.model_validate(values)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}, found {problem['input']!r:.80}"
            for problem in error.errors(include_url=False)
        ]
    return []


AUDIO_AUGMENTATION = ("speed_fraction", "noise_fraction", "channel_fraction", "spec_augment_fraction")
"""Options that, over 0, alter the audio of a window anew each epoch; in the order of `Augmentation`."""

EXPORT_FORMATS = ("ct2", "ggml", "pt")


def split_trackers(report_to: object) -> list[str]:
    """The trackers that `report_to` names: a list, or names joined by commas."""
    names = report_to.split(",") if isinstance(report_to, str) else report_to
    return [str(name).strip() for name in names] if isinstance(names, list | tuple) else []


def split_formats(export: str) -> list[str]:
    """The formats that `--export` names, each once.

    Raises:
        JobError: one of them is not known.
    """
    formats = list(dict.fromkeys(name.strip() for name in export.split(",")))
    unknown = [name for name in formats if name not in EXPORT_FORMATS]
    if unknown:
        raise JobError(
            f"export: expected {', '.join(EXPORT_FORMATS)} joined by commas, found {unknown[0][:40]!r}"
        )
    return formats


def _find_format_problems(export: str | None) -> list[str]:
    try:
        split_formats(export or EXPORT_FORMATS[0])
    except JobError as error:
        return [str(error)]
    return []


def find_contradictions(values: Mapping[str, Any]) -> list[str]:
    """One sentence for each rule between options that the values break.

    Args:
        values: Options by name, each within its bounds; those that are not given have their defaults.
    """
    given: dict[str, Any] = {
        f.name: f.default for group in (SourceArguments, *OPTION_GROUPS) for f in fields(group)
    }
    given |= values
    sources = [
        bool(given[name])
        for name in ("self_test", "data_dir", "prepared_dir", "manifest_file", "dataset_name")
    ]
    has_table = bool(given["data_dir"] or given["dataset_name"])
    rules = [
        (
            sum(sources) == 1,
            (
                "give one source of recordings: data_dir, dataset_name, prepared_dir, or manifest_file with "
                "backend_base_url and user_id"
            ),
        ),
        *(
            (has_table or given[name] is None, f"{name} needs data_dir or dataset_name")
            for name in ("audio_column", "text_column", "speaker_column")
        ),
        *(
            (bool(given["dataset_name"]) or given[name] is None, f"{name} needs dataset_name")
            for name in ("dataset_config", "dataset_split", "dataset_max_rows")
        ),
        (
            "://" in (given["prepared_dir"] or "") or given["cache_dir"] is None,
            "cache_dir needs a prepared_dir that is remote, such as s3://bucket/prefix",
        ),
        (
            not given["manifest_file"] or bool(given["backend_base_url"] and given["user_id"]),
            "manifest_file needs backend_base_url and user_id",
        ),
        (
            not given["prepared_dir"] or given["long_form"] != "on",
            "long_form on needs the recordings themselves: give data_dir in place of prepared_dir",
        ),
        (not given["backend_base_url"] or bool(given["job_id"]), "backend_base_url needs job_id"),
        (given["max_steps"] != 0, "max_steps: expected -1 (all epochs) or at least 1, found 0"),
        (
            given["glossary_weight"] == 1 or given["glossary_fraction"] > 0,
            "glossary_weight needs a glossary_fraction over 0",
        ),
        (
            given["glossary"] is None or given["glossary_fraction"] > 0 or given["eval_fraction"] > 0,
            "glossary needs an eval_fraction or a glossary_fraction over 0: else nothing is done with it",
        ),
        (given["lora_rank"] > 0 or given["lora_alpha"] is None, "lora_alpha needs a lora_rank over 0"),
        (given["lora_rank"] > 0 or not given["lora_dora"], "lora_dora needs a lora_rank over 0"),
        *(
            (
                not (given["freeze_encoder"] and given["keep_encoder_states"] and given[name] > 0),
                (
                    f"{name} alters the audio anew each epoch, and freeze_encoder keeps the encoder's "
                    f"states; set {name} to 0, or keep_encoder_states to False"
                ),
            )
            for name in AUDIO_AUGMENTATION
        ),
        (
            given["eval_fraction"] > 0 or not given["other_dir"],
            "other_dir needs an eval_fraction over 0: without test recordings nothing is compared",
        ),
        *(
            (
                all(folder.strip() for folder in given[name] or ()),
                f"{name}: expected FOLDER or FOLDER:language, found a blank",
            )
            for name in FOLDER_OPTIONS
        ),
    ]
    return [problem for is_met, problem in rules if not is_met] + _find_format_problems(given["export"])


def describe_problems(problems: Sequence[str]) -> str:
    """The sentence with which a run is refused, at both doors."""
    shown = "; ".join(problem.rstrip(".") for problem in problems[:MAX_PROBLEMS_NAMED])
    num_more = len(problems) - MAX_PROBLEMS_NAMED
    more = f" (and {num_more} more)" if num_more > 0 else ""
    return f"The settings cannot be used: {shown}{more}{'' if shown.endswith('?') and not more else '.'}"
