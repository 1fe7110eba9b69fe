from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_trainers import make_example, make_examples, tiny_whisper
from transformers import WhisperForConditionalGeneration

from recipe.audio.decoding import encode_flac
from recipe.evaluation.decoding import MAX_NEW_TOKENS, TransformersEngine, cut_loop
from recipe.evaluation.loss import measure_loss
from recipe.evaluation.transcription import Decoding, transcribe_examples
from recipe.model.whisper import Whisper

MODELS = {"multilingual": {}, "English only": {"is_multilingual": False}, "128 mels": {"num_mel_bins": 128}}


@pytest.fixture(scope="module", params=MODELS)
def whisper(request, tmp_path_factory) -> Whisper:
    shape = MODELS[request.param]
    whisper = tiny_whisper(tmp_path_factory.mktemp("tiny"), seed=3, num_layers=2, **shape)
    sharpen(whisper.model)
    return whisper


def sharpen(model: WhisperForConditionalGeneration) -> None:
    """Larger weights, so that what a random model writes depends on the audio."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "conv" not in name and "positions" not in name:
                weight.mul_(6)
            if name.endswith(("encoder_attn.v_proj.weight", "encoder_attn.out_proj.weight")):
                weight.mul_(30)


@pytest.fixture(scope="module")
def examples() -> Dataset:
    times = np.arange(30 * 16_000) / 16_000
    tones = [9000 * np.sin(2 * np.pi * 200 * 2**index * times) for index in range(5)]
    return make_examples(
        make_example(
            start_ms=30_000 * index,
            end_ms=30_000 * (index + 1),
            audio={"bytes": encode_flac(tone.astype(np.int16)), "path": None},
            segments=[{"start_ms": 0, "end_ms": 30_000, "text": "mot " * (index % 4)}],
        )
        for index, tone in enumerate(tones)
    )


def test_rows_that_leave_the_batch_early_write_what_generate_writes(whisper):
    model = whisper.model.eval()
    config = model.generation_config
    random = torch.Generator().manual_seed(0)
    features = torch.randn(6, model.config.num_mel_bins, 1, generator=random).expand(-1, -1, 3000)
    prompt = [config.decoder_start_token_id]
    told = {}
    if whisper.task:
        prompt += [config.lang_to_id["<|fr|>"], config.task_to_id["translate"]]
        told = {"language": "fr", "task": "translate"}
    with torch.inference_mode():
        ours = TransformersEngine(model).write(features, [prompt] * 6)
        ids = model.generate(
            features,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            return_timestamps=True,
            force_unique_generate_call=True,
            **told,
        )
    written = [
        [token for token in row[len(prompt) :] if token != config.eos_token_id] for row in ids.tolist()
    ]
    assert ours == [cut_loop(tokens, config.no_timestamps_token_id + 1) for tokens in written]
    assert len(set(map(len, ours))) > 1


@pytest.mark.parametrize("whisper", ["multilingual", "English only"], indirect=True)
@pytest.mark.parametrize("engine", ["transformers", "ctranslate2"])
def test_every_window_is_transcribed_once_and_given_back_in_the_order_of_the_dataset(
    whisper, examples, engine
):
    if engine == "ctranslate2":
        pytest.importorskip("ctranslate2")
    decoding, counts = Decoding(3, engine), []
    texts = transcribe_examples(whisper, examples, decoding, counts.append).texts
    assert counts == [3, 2]
    assert len(set(texts)) > 1
    order = [4, 0, 2, 1, 3]
    again = transcribe_examples(whisper, examples.select(order), decoding)
    assert again.texts == [texts[i] for i in order]


class FirstInputs:
    """A forward hook that keeps the decoder's first input."""

    def __init__(self) -> None:
        self.ids: list[list[int]] = []

    def __call__(self, _: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        self.ids = self.ids or kwargs["decoder_input_ids"].tolist()


@pytest.mark.parametrize("whisper", ["multilingual"], indirect=True)
@pytest.mark.parametrize("task", ["transcribe", "translate", None])
def test_each_window_of_a_batch_is_transcribed_in_its_own_language(whisper, task):
    codes = ("fr", "en", "fr")
    rows = [make_example(language=code, start_ms=ms, end_ms=ms + 500) for ms, code in enumerate(codes)]
    inputs = FirstInputs()
    with whisper.model.register_forward_pre_hook(inputs, with_kwargs=True):
        transcribe_examples(replace(whisper, task=task), make_examples(rows), Decoding())
    assert [whisper.processor.tokenizer.convert_ids_to_tokens(ids) for ids in inputs.ids] == [
        ["<|startoftranscript|>"] + [f"<|{code}|>", f"<|{task}|>"] * bool(task) for code in codes
    ]


def test_both_engines_write_the_same(whisper, examples):
    pytest.importorskip("ctranslate2")
    transformers, ctranslate2 = (
        transcribe_examples(whisper, examples, Decoding(3, engine)).texts
        for engine in ("transformers", "ctranslate2")
    )
    assert transformers == ctranslate2


@pytest.mark.parametrize("engine", ["transformers", "ctranslate2"])
def test_the_loss_taken_on_the_way_is_that_of_a_pass_of_its_own_and_changes_no_word(
    whisper, examples, engine
):
    if engine == "ctranslate2":
        pytest.importorskip("ctranslate2")
    decoding = Decoding(3, engine)
    alone = transcribe_examples(whisper, examples, decoding)
    together = transcribe_examples(whisper, examples, decoding, with_loss=True)
    assert alone.loss is None
    assert together.texts == alone.texts
    assert together.loss == measure_loss(whisper, examples, 3)


@pytest.mark.parametrize("whisper", ["multilingual"], indirect=True)
def test_the_encoder_runs_once_for_loss_and_transcript(whisper, examples):
    shapes = []
    encoder = whisper.model.get_encoder()
    with encoder.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape))):
        transcribe_examples(whisper, examples.select([0, 1]), Decoding(3))
        alone = list(shapes)
        shapes.clear()
        transcribe_examples(whisper, examples.select([0, 1]), Decoding(3), with_loss=True)
    assert shapes == alone


@pytest.mark.parametrize("whisper", ["multilingual"], indirect=True)
def test_a_phrase_that_crosses_the_end_is_neither_transcribed_nor_in_the_loss(whisper):
    whole = make_example("un mot", end_ms=1_000)
    phrases = [
        {"start_ms": 0, "end_ms": 1_000, "text": "un mot"},
        {"start_ms": 1_000, "end_ms": None, "text": ""},
    ]
    sound = {"audio": whole["audio"]}
    cut = make_example(end_ms=2_000, segments=phrases) | sound
    first, second = (
        transcribe_examples(whisper, make_examples([row]), Decoding(), with_loss=True) for row in (whole, cut)
    )
    assert first == second
