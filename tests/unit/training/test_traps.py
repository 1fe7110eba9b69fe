"""What goes wrong when Whisper is fine-tuned by the book, and that it does not go wrong here.

Where it is cheap, a test also holds the library to the behaviour that makes our way necessary: when an
upgrade mends it, the test fails and the workaround can go. Traps that have a test of their own elsewhere
are not repeated: accumulation and processes (test_trainer, test_layouts), padding by length (test_inputs),
the best model by WER and not by loss (test_trainer), the metric without network (test_asr_errors), the
decoder's 448 positions (test_windows), rolling captions (test_rolling), what a released folder holds
(test_staging, test_verification).
"""

import shutil
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Audio, Dataset
from tiny_trainers import copy_of, make_example, make_examples, tiny_whisper
from torch.utils.data import BatchSampler
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperFeatureExtractor,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import DataArguments, ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.audio.mel import log_mel
from recipe.captions.reader import read_captions
from recipe.data.shards import FEATURES
from recipe.data.windows import MAX_LABEL_TOKENS, Segment, segments_of, text_of
from recipe.errors import JobError
from recipe.evaluation.decoding import MAX_NEW_TOKENS
from recipe.evaluation.transcription import Decoding, transcribe_examples
from recipe.model.inference import IGNORED, autocast
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.labels import LabelEncoder, View
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration, load_whisper
from recipe.screening.languages import check_language
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.distributed import LONG_WAIT
from recipe.training.trainer import WhisperTrainer, token_loss

SOUND = np.random.default_rng(0).integers(-3_000, 3_000, 3 * 16_000).astype(np.int16)
TEXTS = ("One.", "Two and three.", "Four, five, six, seven and eight.", "Nine!")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Whisper:
    """For tests that leave the model as it is."""
    return tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folder(shared: Whisper) -> Path:
    return Path(shared.model.name_or_path)


@pytest.fixture(scope="module")
def processor(shared: Whisper) -> WhisperProcessor:
    return shared.processor


@pytest.fixture
def whisper(shared: Whisper) -> Whisper:
    return copy_of(shared)


@pytest.fixture
def model(whisper: Whisper) -> WhisperForConditionalGeneration:
    return whisper.model


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(
        make_example(
            language="en",
            end_ms=3_000,
            audio={"bytes": encode_flac(SOUND), "path": None},
            segments=[{"start_ms": 210, "end_ms": 2_990, "text": text}],
        )
        for text in TEXTS
    )


@pytest.fixture(scope="module")
def windows(examples: Dataset, shared: Whisper) -> WindowDataset:
    return WindowDataset(examples, shared, ViewProbabilities(0.5, 0.5), seed=1)


@pytest.fixture(scope="module")
def batch(windows: WindowDataset) -> dict[str, torch.Tensor]:
    return collate([windows[0, index] for index in range(4)], windows[0]["labels"][-1])


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    fixed = {"num_train_epochs": 1, "learning_rate": 1e-30, "optim": "sgd", "use_cpu": True}
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
    return {"output_dir": str(folder), **fixed, **quiet, **changes}


# Loss and labels


def as_the_usual_recipe(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch from which the model makes the decoder's input itself: no `decoder_input_ids`."""
    batch = collate(items, pad_token_id=0)
    return {name: batch[name] for name in ("input_features", "labels")}


def usual_norm(model, windows: WindowDataset, folder: Path, batch_size: int, **changes: Any) -> float:
    """Gradient norm of one update over the four windows by `Seq2SeqTrainer` as it comes."""
    layout = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": 4 // batch_size}
    arguments = Seq2SeqTrainingArguments(**options(folder, remove_unused_columns=False, **layout, **changes))
    items = [windows[0, index] for index in range(4)]
    trainer = Seq2SeqTrainer(model, arguments, as_the_usual_recipe, train_dataset=items)
    trainer.train()
    return trainer.state.log_history[0]["grad_norm"]


def test_the_usual_trainers_gradient_grows_with_accumulation(folder, windows, tmp_path):
    whole, parts = (
        usual_norm(WhisperForConditionalGeneration.from_pretrained(folder), windows, tmp_path, batch_size)
        for batch_size in (4, 1)
    )
    assert parts / whole > 2, "if it is 1, token_loss and decoder_input_ids are needed no longer"


def test_whispers_own_loss_does_not_know_the_updates_number_of_tokens(model, batch):
    usual = {name: tensor for name, tensor in batch.items() if name != "label_positions"}
    own = [model(**usual, num_items_in_batch=number).loss.item() for number in (1, 1_000)]
    assert own[0] == own[1]
    outputs = model(**batch)
    ours = [token_loss(outputs, batch["labels"], number).item() for number in (1, 1_000)]
    assert ours[0] == pytest.approx(1_000 * ours[1])


def test_label_smoothing_needs_the_decoders_input_in_the_batch(model, windows, batch, tmp_path):
    with pytest.raises(ValueError, match="decoder_input_ids"):
        usual_norm(model, windows, tmp_path, 4, label_smoothing_factor=0.1)
    assert "decoder_input_ids" in batch


def test_the_end_is_learnt_though_padding_has_the_same_id(processor, batch):
    end = processor.tokenizer.eos_token_id
    assert processor.tokenizer.pad_token_id == end, "masking by id would mask the end as well"
    assert ((batch["labels"] == end).sum(dim=1) == 1).all()
    assert (batch["labels"] == IGNORED).any(), "rows differ in length"


def test_ignored_labels_cannot_be_decoded_so_references_come_from_the_captions(processor, examples):
    with pytest.raises(OverflowError):
        processor.tokenizer.decode([IGNORED])
    assert [text_of(segments_of(example)) for example in examples] == list(TEXTS)


def test_each_row_starts_the_transcript_once_whatever_stands_before_it(processor, windows):
    tokenizer = processor.tokenizer
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    assert tokenizer.bos_token_id != start, "stripping the first label by bos_token_id strips nothing"
    items = [windows[epoch, index] for epoch in range(4) for index in range(4)]
    assert len({item["decoder_input_ids"][0] for item in items}) == 2, "with and without a prompt"
    for item in items:
        assert item["decoder_input_ids"].count(start) == 1
        assert start not in item["labels"]


def test_building_labels_leaves_the_shared_tokenizer_alone(processor):
    tokenizer = processor.tokenizer
    before = tokenizer.prefix_tokens
    view = View((Segment(0, 1_000, "a"),), 0, 1_000)
    encoder = LabelEncoder(tokenizer, "transcribe")
    first = encoder.encode(view, "fr")
    assert encoder.encode(view, "en") != first == encoder.encode(view, "fr")
    assert tokenizer.prefix_tokens == before


def test_a_language_that_the_vocabulary_lacks_is_refused_and_not_taken_for_a_task(tmp_path):
    ninety_nine = tiny_whisper(tmp_path, languages=list(LANGUAGES)[:99])
    tokenizer = ninety_nine.processor.tokenizer
    tokenizer.set_prefix_tokens(language="yue")
    assert tokenizer.convert_ids_to_tokens(tokenizer.prefix_tokens)[1] == "<|translate|>"
    for language in ("yue", "Cantonese"):
        with pytest.raises(JobError, match=language):
            check_language(language, ninety_nine)


@pytest.mark.parametrize("num_languages", [99, 100])
def test_timestamps_are_found_by_name_since_their_ids_differ_by_checkpoint(tmp_path, num_languages):
    checkpoint = build_tiny_whisper(tmp_path, languages=list(LANGUAGES)[:num_languages])
    tokenizer = WhisperTokenizer.from_pretrained(checkpoint)
    view = View((Segment(1_210, 2_990, "a"),), 0, 3_000, has_timestamps=True)
    ids, _ = LabelEncoder(tokenizer, "transcribe").encode(view, "en")
    assert tokenizer.convert_ids_to_tokens([ids[3], ids[-2]]) == ["<|1.20|>", "<|3.00|>"]
    assert ids[3] == 264 + num_languages + 60


def test_a_time_off_the_grid_would_fall_apart_and_never_comes(shared, windows):
    tokenizer = shared.processor.tokenizer
    assert len(tokenizer.encode("<|1.20|>", add_special_tokens=False)) == 1
    assert len(tokenizer.encode("<|1.21|>", add_special_tokens=False)) > 6
    timed = [windows[epoch, 0]["labels"] for epoch in range(8)]
    times = [[i for i in labels if i > shared.first_timestamp] for labels in timed]
    assert {len(found) for found in times} == {0, 2}, "a start and an end, or neither"


def test_special_tokens_in_a_caption_do_not_reach_the_label(processor, tmp_path):
    tokenizer = processor.tokenizer
    assert tokenizer.eos_token_id in tokenizer.encode("a<|endoftext|>b", add_special_tokens=False)
    captions = tmp_path / "c.vtt"
    captions.write_text("WEBVTT\n\n00:01.000 --> 00:03.000\nbefore <|endoftext|> after\n")
    (cue,) = read_captions(captions, duration_ms=9_000).cues
    view = View((Segment(cue.start_ms, cue.end_ms, cue.text),), 0, 9_000)
    ids, _ = LabelEncoder(tokenizer, "transcribe").encode(view, "en")
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == " before after"


def test_the_decoder_takes_448_positions_and_the_encoder_3000_frames_and_no_others(model):
    features = torch.zeros(1, 80, 3_000)
    ids = torch.zeros(1, MAX_LABEL_TOKENS, dtype=torch.long)
    assert model(features, decoder_input_ids=ids, labels=ids).loss.isfinite()
    with pytest.raises((IndexError, ValueError)):
        model(features, decoder_input_ids=torch.zeros(1, MAX_LABEL_TOKENS + 1, dtype=torch.long))
    with pytest.raises(ValueError, match="3000"):
        model(features[..., :2_999], decoder_input_ids=ids)


def test_what_generation_never_writes_is_not_taught(whisper, tmp_path):
    model, symbols = whisper.model, whisper.suppressed_symbols()
    assert {"[", "]", "{", "}", "~"} <= symbols
    captions = tmp_path / "c.vtt"
    captions.write_text("WEBVTT\n\n00:01.000 --> 00:03.000\nfive ~ six {seven}\n")
    (cue,) = read_captions(captions, duration_ms=9_000, suppressed_symbols=symbols).cues
    assert not symbols & set(cue.text)
    # The list is the generation config's; the model config's, which recipes empty, has no effect.
    forbidden = set(model.generation_config.suppress_tokens)
    model.config.suppress_tokens = []
    features = torch.randn(2, 80, 3_000, generator=torch.Generator().manual_seed(0))
    written = model.generate(features, language="en", max_new_tokens=60, do_sample=True, temperature=9.0)
    assert len(set(written.flatten().tolist())) > 30
    assert not forbidden & set(written.flatten().tolist())


# Model and precision


@pytest.mark.parametrize("num_mel_bins", [80, 128])
def test_weights_are_trained_in_float32_though_the_file_is_in_half_precision(tmp_path, num_mel_bins):
    tiny_whisper(tmp_path, num_mel_bins=num_mel_bins).model.half().save_pretrained(tmp_path)
    assert WhisperForConditionalGeneration.from_pretrained(tmp_path).dtype == torch.float16
    whisper = load_whisper(ModelArguments(str(tmp_path)))
    assert {parameter.dtype for parameter in whisper.model.parameters()} == {torch.float32}
    features = log_mel(whisper.processor.feature_extractor, SOUND / np.float32(32768))
    assert features.shape == (num_mel_bins, 3_000) == (whisper.model.config.num_mel_bins, 3_000)


def test_a_processor_does_not_write_the_file_that_other_runtimes_read(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists(), "the extractor need not be saved beside it"


def test_with_tokenizer_json_alone_decoded_times_are_wrong(folder, processor, tmp_path):
    token = processor.tokenizer.convert_tokens_to_ids("<|1.12|>")
    shutil.copy(folder / "tokenizer.json", tmp_path)
    alone = WhisperTokenizer.from_pretrained(tmp_path)
    assert processor.tokenizer.decode([token], decode_with_timestamps=True) == "<|1.12|>"
    assert alone.decode([token], decode_with_timestamps=True) != "<|1.12|>"


def test_logits_of_the_labels_alone_have_the_loss_and_gradient_of_all(model, windows):
    items = [windows[epoch, index] for epoch in range(2) for index in range(4)]
    with_prompt = [item for item in items if len(item["labels"]) < len(item["decoder_input_ids"])]
    batch = collate(with_prompt[:2], pad_token_id=0)
    labels = batch.pop("labels")
    all_labels = torch.full(batch["decoder_input_ids"].shape, IGNORED)
    for row, places, tokens in zip(all_labels, batch["label_positions"], labels, strict=True):
        row[places[tokens != IGNORED]] = tokens[tokens != IGNORED]
    assert all_labels.shape != labels.shape
    alone = token_loss(model.eval()(**batch), labels)
    del batch["label_positions"]
    among_all = token_loss(model(**batch), all_labels)
    assert alone.item() == pytest.approx(among_all.item(), rel=1e-6)
    weights = list(model.parameters())
    gradients = [torch.autograd.grad(loss, weights) for loss in (alone, among_all)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_recomputed_activations_give_the_same_gradient_also_below_a_frozen_encoder(model, batch, is_frozen):
    if is_frozen:
        model.freeze_encoder()
    gradients = []
    for enable in (model.activation_checkpointing_disable, model.activation_checkpointing_enable):
        enable()
        model.train().zero_grad()
        token_loss(model(**batch, use_cache=False), batch["labels"]).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-6, atol=1e-8)
    assert all(gradient.any() for name, gradient in gradients[1].items() if "embed_positions" not in name)


def test_the_models_own_spec_augment_masks_padding_with_what_is_no_silence_and_is_off(folder, tmp_path):
    sound = SOUND / np.float32(32768)
    features = torch.from_numpy(log_mel(WhisperFeatureExtractor(), sound))[None]
    changes = {"apply_spec_augment": True, "mask_time_prob": 0.5}
    augmented = WhisperForConditionalGeneration.from_pretrained(folder, **changes)
    assert not WhisperForConditionalGeneration.from_pretrained(folder).config.apply_spec_augment
    masked = augmented.train().model._mask_input_features(features.clone())
    is_masked = (masked == 0).all(dim=1)[0]
    assert is_masked[300:].sum() > 5 * is_masked[:300].sum() > 0, "nine tenths of the window are padding"
    assert features[0, 0, -1] < -0.3
    # A checkpoint that was trained so before would go on: its masks come from the global generator.
    augmented.save_pretrained(tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["config.json"])
    loaded = load_whisper(ModelArguments(str(tmp_path)))
    assert torch.equal(loaded.model.train().model._mask_input_features(features.clone()), features)


# Trainer


class Glimpse:
    """What is measured in the middle of a training: the model's state and what it says to a batch."""

    def __init__(self, model: WhisperForConditionalGeneration, batch: dict[str, torch.Tensor]) -> None:
        self._model, self._batch = model, batch
        self.taken: list[tuple[torch.Tensor, bool]] = []

    def __call__(self) -> Any:
        with torch.inference_mode(), autocast(self._model.device):
            logits = self._model.eval()(**self._batch, use_cache=False).logits
        self.taken.append((logits, self._model.config.use_cache))
        raise StopTraining


class StopTraining(Exception):  # noqa: N818 - not an error
    """Ends a training that has shown what it should."""


@pytest.fixture
def glimpse(whisper, windows, batch, tmp_path) -> Glimpse:
    """One before training, one at the end of an epoch whose only update changes nothing."""
    glimpse = Glimpse(whisper.model, batch)
    with pytest.raises(StopTraining):
        glimpse()
    arguments = RecipeTrainingArguments(
        **options(tmp_path, eval_strategy="epoch", per_device_train_batch_size=4)
    )
    trainer = WhisperTrainer(
        whisper, arguments, windows, windows, fingerprint={}, measure=glimpse, callbacks=[]
    )
    with pytest.raises(StopTraining):
        trainer.train()
    return glimpse


def test_the_model_is_measured_in_the_same_precision_before_and_during_training(glimpse):
    before, during = (logits for logits, _ in glimpse.taken)
    assert before.dtype == during.dtype == torch.float32
    torch.testing.assert_close(before, during, rtol=0, atol=1e-6)


def test_the_trainer_turns_the_cache_off_so_generation_and_release_turn_it_on(glimpse):
    assert [use_cache for _, use_cache in glimpse.taken] == [True, False]


def test_the_usual_sharding_repeats_samples_to_make_processes_even():
    batches = BatchSampler(range(5), batch_size=1, drop_last=False)
    shards = [list(BatchSamplerShard(batches, 2, process)) for process in range(2)]
    assert shards == [[[0], [2], [4]], [[1], [3], [0]]], "five samples become six"


def test_a_long_download_outlives_the_time_out_of_collectives(tmp_path):
    arguments = RecipeTrainingArguments(**options(tmp_path))
    assert arguments.ddp_timeout == 1_800
    assert timedelta(days=1) < LONG_WAIT


def test_arguments_that_are_gone_are_not_relied_on(tmp_path):
    names = {f.name for f in fields(RecipeTrainingArguments)}
    gone = {"evaluation_strategy", "group_by_length", "overwrite_output_dir", "warmup_ratio", "logging_dir"}
    assert not names & gone
    assert RecipeTrainingArguments(**options(tmp_path, warmup_steps=0.1)).get_warmup_steps(200) == 20
    assert Seq2SeqTrainingArguments(**options(tmp_path)).remove_unused_columns
    assert not RecipeTrainingArguments(**options(tmp_path)).remove_unused_columns


def test_stored_sound_is_decoded_without_the_codec_library_that_datasets_wants(windows, examples):
    assert isinstance(FEATURES["audio"], dict)
    assert windows[0]["input_features"].any()
    assert "torchcodec" not in sys.modules
    with pytest.raises(ImportError, match="torchcodec"):
        examples.cast_column("audio", Audio())[0]


# Features


def test_features_are_made_by_the_fast_path_and_never_stored():
    sound = SOUND / np.float32(32768)
    extractor = WhisperFeatureExtractor()
    padded = np.pad(sound, (0, 480_000 - len(sound)))
    features = log_mel(extractor, sound)
    assert np.array_equal(features, extractor._torch_extract_fbank_features(padded))
    assert not np.array_equal(features, extractor._np_extract_fbank_features(padded[None], "cpu")[0])
    assert not any("features" in name for name in FEATURES)


# What users complain of


def test_timestamps_prompts_and_single_cues_are_all_trained_by_default(examples):
    data = DataArguments()
    views = ViewProbabilities(data.timestamp_fraction, data.prompt_fraction, data.single_cue_fraction)
    cues = [{"start_ms": start_ms, "end_ms": start_ms + 900, "text": "a"} for start_ms in (0, 1_000, 2_000)]
    example = examples[0] | {"segments": cues}
    drawn = [views.draw(example, np.random.default_rng(seed)) for seed in range(100)]
    for kind in (lambda v: v.has_timestamps, lambda v: bool(v.prompt), lambda v: len(v.segments) == 1):
        assert {kind(view) for view in drawn} == {True, False}


def test_a_repetition_loop_ends_after_half_the_decoder(whisper, examples):
    tokenizer, config = whisper.processor.tokenizer, whisper.generation_config
    config.suppress_tokens, config.eos_token_id = [tokenizer.eos_token_id], None
    (text,) = transcribe_examples(whisper, examples.select([0]), Decoding()).texts
    assert len(tokenizer.encode(text, add_special_tokens=False)) <= MAX_NEW_TOKENS == 224
