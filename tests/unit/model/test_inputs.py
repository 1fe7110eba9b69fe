from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny_trainers import make_example, make_examples, tiny_whisper
from transformers import WhisperProcessor

from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.data.windows import MAX_LABEL_TOKENS, Segment
from recipe.model.inference import IGNORED
from recipe.model.inputs import (
    ViewProbabilities,
    WindowDataset,
    collate,
    load_captions,
)
from recipe.model.labels import LabelEncoder, View
from recipe.model.sampling import PADDING


@pytest.fixture(scope="module")
def processor(whisper) -> WhisperProcessor:
    return whisper.processor


@pytest.fixture(scope="module")
def english_processor(tmp_path_factory) -> WhisperProcessor:
    return tiny_whisper(tmp_path_factory.mktemp("tiny-en"), is_multilingual=False).processor


SEGMENTS = (Segment(0, 1_230, "Bonjour."), Segment(2_000, 3_000, "Ça va ?"), Segment(29_000, None, ""))
BEFORE = Segment(27_000, 28_500, "Hier.")
EXAMPLE = make_example(
    start_ms=10_000,
    end_ms=40_000,
    segments=[asdict(segment) for segment in SEGMENTS],
    prompt=[asdict(BEFORE)],
)


def names(processor: WhisperProcessor, ids: list[int]) -> list[str]:
    return processor.tokenizer.convert_ids_to_tokens(ids)


def test_labels_without_timestamps_hold_the_words_between_prefix_and_end(processor):
    ids, num_ignored = LabelEncoder(processor.tokenizer, "transcribe").encode(
        View(SEGMENTS[:2], 0, 29_000), "fr"
    )
    assert names(processor, ids[:4]) == [
        "<|startoftranscript|>",
        "<|fr|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    assert processor.tokenizer.decode(ids[4:-1]) == " Bonjour. Ça va ?"
    assert names(processor, ids[-1:]) == ["<|endoftext|>"]
    assert num_ignored == 0


def test_labels_with_timestamps_round_to_two_hundredths_and_end_with_a_crossing_cues_start(processor):
    encoder = LabelEncoder(processor.tokenizer, "translate")
    ids, _ = encoder.encode(View(SEGMENTS, 0, 30_000, has_timestamps=True), "fr")
    tokens = names(processor, ids)
    assert tokens[2] == "<|translate|>"
    assert [token for token in tokens if token.startswith("<|") and token[2].isdigit()] == [
        "<|0.00|>",
        "<|1.24|>",
        "<|2.00|>",
        "<|3.00|>",
        "<|29.00|>",
    ]
    assert tokens[-2:] == ["<|29.00|>", "<|endoftext|>"]


def test_each_label_names_the_language_of_its_own_window(processor):
    encoder = LabelEncoder(processor.tokenizer, "translate")
    view = View(SEGMENTS[:1], 0, 2_000)
    for language in ("de", "fr"):
        ids, _ = encoder.encode(view, language)
        assert names(processor, ids[1:3]) == [f"<|{language}|>", "<|translate|>"]


@pytest.mark.parametrize(
    ("language", "task", "expected"),
    [
        ("ja", "transcribe", "<|0.00|>こんにちは<|1.00|><|2.00|>ええ<|3.00|>"),
        ("ja", "translate", "<|0.00|> こんにちは<|1.00|><|2.00|> ええ<|3.00|>"),  # what it writes is English
        ("ko", "transcribe", "<|0.00|> こんにちは<|1.00|><|2.00|> ええ<|3.00|>"),
    ],
)
def test_a_text_follows_a_space_where_words_do(processor, language, task, expected):
    segments = (Segment(0, 1_000, "こんにちは"), Segment(2_000, 3_000, "ええ"))
    encoder = LabelEncoder(processor.tokenizer, task)
    ids, _ = encoder.encode(View(segments, 0, 3_000, has_timestamps=True), language)
    assert processor.tokenizer.decode(ids[3:-1], decode_with_timestamps=True) == expected
    ids, _ = encoder.encode(View(segments, 0, 3_000, prompt=segments[:1]), language)
    prompt = processor.tokenizer.decode(
        ids[1 : ids.index(processor.tokenizer.convert_tokens_to_ids("<|startoftranscript|>"))]
    )
    assert prompt == f"{' ' * (language != 'ja' or task == 'translate')}こんにちは"


def test_an_english_only_checkpoint_has_neither_language_nor_task(english_processor):
    ids, _ = LabelEncoder(english_processor.tokenizer, None).encode(View(SEGMENTS[:1], 0, 2_000), "fr")
    assert names(english_processor, ids[:2]) == ["<|startoftranscript|>", "<|notimestamps|>"]


def test_silence_is_labelled_with_special_tokens_only(processor):
    encoder = LabelEncoder(processor.tokenizer, "transcribe")
    for has_timestamps in (False, True):
        ids, _ = encoder.encode(View((), 0, 30_000, has_timestamps=has_timestamps), "fr")
        assert all(token.startswith("<|") for token in names(processor, ids))
        assert len(ids) == 5


def test_a_long_prompt_keeps_its_end_and_fits_with_the_label(processor):
    encoder = LabelEncoder(processor.tokenizer, "transcribe")
    before = Segment(0, 30_000, "long ago " * 100 + "just now")
    view = View((Segment(0, 20_000, "x" * 300),), 0, 20_000, prompt=(before,))
    ids, num_ignored = encoder.encode(view, "fr")
    assert len(ids) == MAX_LABEL_TOKENS
    assert names(processor, ids[:1]) == ["<|startofprev|>"]
    assert processor.tokenizer.decode(ids[1:num_ignored]).endswith("just now")
    assert names(processor, ids[num_ignored : num_ignored + 1]) == ["<|startoftranscript|>"]


@pytest.mark.parametrize(
    ("has_timestamps", "expected"),
    [(True, "<|27.00|> Hier.<|28.50|>"), (False, " Hier.")],
    ids=["as a decoder with timestamps hands it on", "without timestamps"],
)
def test_a_prompt_has_times_where_times_are_written(processor, has_timestamps, expected):
    view = View(SEGMENTS[:1], 0, 2_000, prompt=(BEFORE,), has_timestamps=has_timestamps)
    ids, num_ignored = LabelEncoder(processor.tokenizer, "transcribe").encode(view, "fr")
    assert processor.tokenizer.decode(ids[1:num_ignored], decode_with_timestamps=True) == expected


def test_a_view_with_one_cue_ends_before_the_next_and_takes_the_earlier_words_as_prompt():
    probabilities = ViewProbabilities(timestamps=1.0, prompts=1.0, single_cues=1.0)
    views = [probabilities.draw(EXAMPLE, np.random.default_rng(seed)) for seed in range(20)]
    assert {view.segments[0].text for view in views} == {"Bonjour.", "Ça va ?"}
    second = next(view for view in views if view.segments[0].text == "Ça va ?")
    assert (second.start_ms, second.end_ms, second.prompt) == (2_000, 29_000, (BEFORE, SEGMENTS[0]))
    assert second.segments == (Segment(0, 1_000, "Ça va ?"),)


def test_without_timestamps_the_audio_ends_where_the_crossing_cue_begins():
    view = ViewProbabilities().draw(EXAMPLE, np.random.default_rng(0))
    assert (view.end_ms, view.prompt, len(view.segments)) == (29_000, (), 2)


def test_silence_is_shown_in_another_part_each_time():
    silent = {"start_ms": 10_000, "end_ms": 40_000, "segments": [], "prompt": []}
    probabilities = ViewProbabilities(timestamps=1.0)
    views = [probabilities.draw(silent, np.random.default_rng(seed)) for seed in range(200)]
    assert all(v.start_ms >= 0 and v.start_ms + 1_000 <= v.end_ms <= 30_000 for v in views)
    lengths = [view.end_ms - view.start_ms for view in views]
    assert min(lengths) < 3_000
    assert max(lengths) > 27_000
    short = ViewProbabilities().draw(silent | {"end_ms": 10_400}, np.random.default_rng(0))
    assert (short.start_ms, short.end_ms, short.segments) == (0, 400, ())


def test_probabilities_are_met():
    probabilities = ViewProbabilities(timestamps=0.5, prompts=0.25, single_cues=0.1)
    views = [probabilities.draw(EXAMPLE, np.random.default_rng([7, seed])) for seed in range(2_000)]
    assert sum(view.has_timestamps for view in views) / 2_000 == pytest.approx(0.5, abs=0.04)
    assert sum(bool(view.prompt) for view in views) / 2_000 == pytest.approx(0.25, abs=0.04)
    assert sum(len(view.segments) == 1 for view in views) / 2_000 == pytest.approx(0.1, abs=0.03)


@pytest.fixture(scope="module")
def windows(whisper) -> WindowDataset:
    return WindowDataset(make_examples([EXAMPLE] * 6), whisper, ViewProbabilities(0.5, 0.5, 0.3), seed=3)


def test_a_label_is_the_token_that_follows_and_the_prompt_is_left_out(windows, processor):
    items = (windows[epoch, 0] for epoch in range(9))
    item = next(item for item in items if len(item["labels"]) < len(item["decoder_input_ids"]))
    inputs, labels = item["decoder_input_ids"], item["labels"]
    num_prompt = len(inputs) - len(labels)
    assert names(processor, inputs[num_prompt : num_prompt + 1]) == ["<|startoftranscript|>"]
    assert labels[:-1] == inputs[num_prompt + 1 :]
    assert names(processor, labels[-1:]) == ["<|endoftext|>"]


def test_an_item_depends_on_seed_epoch_and_index_alone(windows):
    assert windows[1, 2]["decoder_input_ids"] == windows[1, 2]["decoder_input_ids"]
    seen = {tuple(windows[epoch, index]["decoder_input_ids"]) for epoch in range(4) for index in range(6)}
    assert len(seen) > 3


def test_without_augmentation_the_features_are_those_of_the_stored_sound(windows, processor):
    for epoch in range(4):
        view = ViewProbabilities(0.5, 0.5, 0.3).draw(EXAMPLE, np.random.default_rng([3, epoch, 0]))
        sound = decode_flac(EXAMPLE["audio"]["bytes"])[view.start_ms * 16 : view.end_ms * 16]
        assert np.array_equal(
            windows[epoch, 0]["input_features"], log_mel(processor.feature_extractor, sound)
        )


def test_padding_counts_for_nothing(windows):
    assert set(windows[0, PADDING]["labels"]) == {IGNORED}


def test_a_batch_is_padded_to_its_longest_input_and_its_longest_label(windows):
    items = [windows[0, index] for index in range(4)]
    batch = collate(items, pad_token_id=9)
    assert batch["input_features"].shape == (4, 80, 3_000)
    assert batch["input_features"].dtype == torch.float32
    sizes = {name: [len(item[name]) for item in items] for name in ("decoder_input_ids", "labels")}
    assert max(sizes["labels"]) < max(sizes["decoder_input_ids"]), "one has a prompt"
    for name, padding in (("decoder_input_ids", 9), ("labels", IGNORED)):
        assert batch[name].shape == (4, max(sizes[name]))
        for row, item, size in zip(batch[name], items, sizes[name], strict=True):
            assert row[:size].tolist() == item[name]
            assert (row[size:] == padding).all()


def test_the_token_after_a_labels_position_is_the_label(windows):
    batch = collate([windows[0, index] for index in range(4)], pad_token_id=9, multiple_of=64)
    following = batch["decoder_input_ids"].roll(-1, dims=1).gather(1, batch["label_positions"])
    counted = batch["labels"] != IGNORED
    is_last = counted & ~counted.roll(-1, dims=1)  # what follows it is padding, and it the end of text
    assert torch.equal(following[counted & ~is_last], batch["labels"][counted & ~is_last])
    assert (batch["labels"][is_last] == batch["labels"][0][counted[0]][-1]).all()


@pytest.mark.parametrize(
    ("num_tokens", "multiple_of", "length"),
    [(5, 1, 5), (5, 64, 64), (64, 64, 64), (65, 64, 128), (447, 64, 448), (447, 100, 448)],
)
def test_a_batch_is_padded_to_a_bucket_but_not_over_the_decoder(num_tokens, multiple_of, length):
    ids = [1] * num_tokens
    item = {"input_features": np.zeros((80, 3_000), np.float32), "decoder_input_ids": ids, "labels": ids}
    batch = collate([item], pad_token_id=9, multiple_of=multiple_of)
    assert {tuple(batch[name].shape) for name in batch if name != "input_features"} == {(1, length)}
    assert (batch["labels"] == 1).sum() == (batch["decoder_input_ids"] == 1).sum() == num_tokens
    assert (batch["labels"][0, num_tokens:] == IGNORED).all()


def test_captions_are_loaded_as_batched_with_their_times_and_without_a_prompt(whisper, processor):
    examples = make_examples(make_example(f"text {index}", prompt=[asdict(BEFORE)]) for index in range(3))
    first, second = load_captions(whisper, examples, 0, [[2, 0], [1]])
    texts = [
        [processor.tokenizer.decode(ids, decode_with_timestamps=True) for ids in batch["decoder_input_ids"]]
        for batch in (first, second)
    ]
    start = "<|startoftranscript|><|fr|><|transcribe|>"
    assert texts == [[f"{start}<|0.00|> text {i}<|1.00|>" for i in batch] for batch in ([2, 0], [1])]
