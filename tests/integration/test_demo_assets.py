"""The model and the corpus that the demo builds are the real things, complete and exact."""

import html
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from jiwer import wer
from safetensors import safe_open
from transformers import (
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
    pipeline,
)

from recipe.audio.decoding import decode_audio

pytestmark = pytest.mark.network

BuildAsset = Callable[..., Path]
TIME = r"(?:00:)?(\d\d):(\d\d)\.(\d{3})"
CUE = re.compile(rf"^{TIME} --> {TIME}\n(.+)$", re.MULTILINE)


def read_index(corpus_dir: Path) -> dict:
    return json.loads((corpus_dir / "corpus.json").read_text(encoding="utf-8"))


def read_cues(path: Path) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds, and text, of each cue of one of the corpus's own files."""
    cues = []
    for match in CUE.finditer(path.read_text(encoding="utf-8")):
        start_min, start_s, start_ms, end_min, end_s, end_ms = map(int, match.groups()[:6])
        start, end = start_min * 60_000 + start_s * 1000 + start_ms, end_min * 60_000 + end_s * 1000 + end_ms
        cues.append((start, end, html.unescape(match[7])))
    return cues


@pytest.fixture(params=["base", "tiny.en"])
def model_dir(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue({"base": "base_model_dir", "tiny.en": "tiny_en_model_dir"}[request.param])


@pytest.mark.parametrize(
    ("fixture", "first_timestamp_id", "prefix"),
    [
        pytest.param("base_model_dir", 50364, [50258, 50265, 50359, 50363], id="base"),
        pytest.param("tiny_en_model_dir", 50363, [50257, 50362], id="tiny.en"),
    ],
)
def test_tokenizer_has_the_ids_of_the_published_one(
    fixture: str, first_timestamp_id: int, prefix: list[int], request: pytest.FixtureRequest
):
    tokenizer = WhisperTokenizer.from_pretrained(request.getfixturevalue(fixture))
    if len(prefix) == 4:
        tokenizer.set_prefix_tokens(language="fr", task="transcribe")
    assert tokenizer.convert_tokens_to_ids("<|0.00|>") == first_timestamp_id
    assert tokenizer.convert_tokens_to_ids("<|30.00|>") == first_timestamp_id + 1500 == len(tokenizer) - 1
    assert tokenizer.prefix_tokens == prefix


def test_decoded_times_and_texts_are_the_encoded_ones(model_dir: Path):
    tokenizer = WhisperTokenizer.from_pretrained(model_dir)
    text = "L'été, où êtes-vous ? C’est ça, cœur n' est pas !"  # noqa: RUF001 - captions hold it
    timed = f"<|1.00|>{text}<|28.02|>"
    ids = tokenizer.encode(timed, add_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text
    assert tokenizer.decode(ids, decode_with_timestamps=True) == timed
    assert tokenizer.decode(ids, output_offsets=True)["offsets"][0]["timestamp"] == pytest.approx(
        (1.0, 28.02)
    )


def test_english_texts_are_normalised_with_the_published_table_of_spellings(tiny_en_model_dir: Path):
    tokenizer = WhisperTokenizer.from_pretrained(tiny_en_model_dir)
    assert tokenizer.normalize("It's the Colour of twenty-one") == "it is the color of 21"


def test_folder_loads_as_a_float32_model_with_a_tied_output(model_dir: Path):
    model, loading = WhisperForConditionalGeneration.from_pretrained(model_dir, output_loading_info=True)
    assert not any(loading.values()), loading
    assert model.dtype == torch.float32
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    with safe_open(model_dir / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if name.endswith("k_proj.bias")]  # noqa: SIM118 - no dict
    assert (model_dir / "preprocessor_config.json").is_file()
    assert WhisperProcessor.from_pretrained(model_dir).feature_extractor.feature_size == 80


def test_finished_folders_are_left_as_they_are(
    build_asset: BuildAsset, tiny_en_model_dir: Path, corpus_en_dir: Path
):
    files = [*tiny_en_model_dir.iterdir(), *corpus_en_dir.iterdir()]
    before = {path: path.stat().st_mtime_ns for path in files}
    build_asset("model", "tiny.en")
    build_asset("corpus", "en")
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_generation_settings_are_those_of_the_checkpoint(base_model_dir: Path, tiny_en_model_dir: Path):
    base = json.loads((base_model_dir / "generation_config.json").read_text())
    tiny_en = json.loads((tiny_en_model_dir / "generation_config.json").read_text())
    assert (base["is_multilingual"], base["decoder_start_token_id"], base["eos_token_id"]) == (
        True,
        50258,
        50257,
    )
    assert (len(base["lang_to_id"]), base["lang_to_id"]["<|fr|>"]) == (99, 50265)
    assert base["task_to_id"] == {"transcribe": 50359, "translate": 50358}
    assert (base["no_timestamps_token_id"], base["prev_sot_token_id"]) == (50363, 50361)
    assert (len(base["suppress_tokens"]), base["begin_suppress_tokens"]) == (88, [220, 50257])
    assert (base["max_length"], len(base["alignment_heads"])) == (448, 8)
    assert (tiny_en["is_multilingual"], tiny_en["decoder_start_token_id"]) == (False, 50257)
    assert "lang_to_id" not in tiny_en
    assert tiny_en["no_timestamps_token_id"] == 50362


def test_model_transcribes_the_cues_of_a_recording(tiny_en_model_dir: Path, corpus_en_dir: Path):
    """A tensor laid out wrongly, or cues that are off, would leave little of the text."""
    samples = decode_audio(corpus_en_dir / "prompts-en-01.m4a").samples / np.float32(32768)
    cues = read_cues(corpus_en_dir / "prompts-en-01.vtt")[:16]
    processor = WhisperProcessor.from_pretrained(tiny_en_model_dir)
    model = WhisperForConditionalGeneration.from_pretrained(tiny_en_model_dir)
    pieces = [samples[start * 16 : end * 16] for start, end, _ in cues]
    inputs = processor(pieces, sampling_rate=16_000, return_tensors="pt")
    texts = processor.batch_decode(model.generate(inputs.input_features), skip_special_tokens=True)
    normalize = processor.tokenizer.normalize
    assert wer([normalize(text) for *_, text in cues], [normalize(text) for text in texts]) < 0.2, texts


def test_word_times_are_found_with_the_alignment_heads(tiny_en_model_dir: Path, corpus_en_dir: Path):
    samples = decode_audio(corpus_en_dir / "prompts-en-01.m4a").samples / np.float32(32768)
    start, end, _ = next(cue for cue in read_cues(corpus_en_dir / "prompts-en-01.vtt") if len(cue[2]) > 60)
    transcribe = pipeline("automatic-speech-recognition", model=str(tiny_en_model_dir))
    audio = {"raw": samples[start * 16 : end * 16], "sampling_rate": 16_000}
    words = transcribe(audio, return_timestamps="word")["chunks"]
    begins = [word["timestamp"][0] for word in words]
    assert begins == sorted(begins)
    assert 0.6 * (end - start) < begins[-1] * 1000 < end - start


@pytest.mark.parametrize("fixture", ["corpus_fr_dir", "corpus_en_dir"])
def test_corpus_is_half_an_hour_of_recordings_with_captions(fixture: str, request: pytest.FixtureRequest):
    corpus_dir = request.getfixturevalue(fixture)
    corpus = read_index(corpus_dir)
    assert corpus["licence"] == "CC-BY-SA-3.0"
    assert 1_500 < corpus["seconds"] < 2_100
    assert {Path(entry["audio"]).suffix for entry in corpus["recordings"]} == {
        ".wav", ".m4a", ".mp3", ".webm", ".flac",
    }  # fmt: skip
    for entry in corpus["recordings"]:
        assert 120 <= entry["seconds"] <= 180
        assert Path(entry["audio"]).stem == Path(entry["captions"]).stem
        assert len(read_cues(corpus_dir / entry["captions"])) == entry["num_cues"] > 0


def test_cues_follow_each_other_with_pauses_and_hold_no_sound_marks(corpus_fr_dir: Path):
    for path in corpus_fr_dir.glob("*.vtt"):
        cues = read_cues(path)
        assert not [text for _, _, text in cues if re.search(r"[\[\]<>()]", text)]
        assert all(0 < end - start <= 30_000 for start, end, _ in cues)
        assert all(300 <= following[0] - cue[1] <= 1_200 for cue, following in pairwise(cues))


def test_the_same_words_are_never_in_two_recordings(corpus_fr_dir: Path):
    recordings: dict[str, set[Path]] = {}
    for path in corpus_fr_dir.glob("*.vtt"):
        for _, _, text in read_cues(path):
            recordings.setdefault(" ".join(re.findall(r"\w+", text.casefold())), set()).add(path)
    assert not {text: paths for text, paths in recordings.items() if len(paths) > 1}


@pytest.mark.parametrize("extension", ["wav", "m4a", "mp3", "webm", "flac"])
def test_sound_is_where_the_cues_say_in_every_format(extension: str, corpus_fr_dir: Path):
    """A codec's delay (23 ms for AAC) that the container or the reader forgets would shift every cue."""
    audio = min(corpus_fr_dir.glob(f"*.{extension}"))
    samples = decode_audio(audio).samples.astype(np.float64)
    cues = read_cues(audio.with_suffix(".vtt"))
    is_speech = np.zeros(len(samples))
    for start_ms, end_ms, _ in cues:
        is_speech[start_ms * 16 : end_ms * 16] = 1
    loud = (np.abs(samples) > 30).astype(np.float64)
    size = 1 << (2 * len(samples)).bit_length()
    agreement = np.fft.irfft(np.fft.rfft(loud, size) * np.conj(np.fft.rfft(is_speech, size)), size)
    shifts = np.arange(-1600, 1601)
    best = shifts[np.argmax(agreement[shifts])]
    assert abs(best) < 10 * 16
    assert len(samples) / 16_000 == pytest.approx(max(end for _, end, _ in cues) / 1000, abs=0.5)
