"""openai-whisper reads the `.pt` and computes the very logits of the released model."""

import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.errors import PublishError
from recipe.export.openai_checkpoint import write_openai_checkpoint
from recipe.model.whisper import load_whisper


@pytest.fixture(scope="module")
def path(whisper, tmp_path_factory):
    path = tmp_path_factory.mktemp("pt") / "openai-whisper.pt"
    write_openai_checkpoint(whisper, path)
    return path


@pytest.fixture(scope="module")
def openai_whisper():
    return pytest.importorskip("whisper", reason="requirements-export.txt is not installed")


@pytest.mark.slow
@torch.inference_mode()
def test_logits_are_those_of_the_model(whisper, path, openai_whisper):
    model = openai_whisper.load_model(str(path), device="cpu")
    config = whisper.model.config
    features = torch.randn(1, config.num_mel_bins, 3000, generator=torch.Generator().manual_seed(1))
    tokens = torch.arange(0, config.vocab_size, 997)[None]
    expected = whisper.model(features, decoder_input_ids=tokens).logits
    found = model(features, tokens)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_heads_that_time_words_come_along(whisper, path, openai_whisper):
    model = openai_whisper.load_model(str(path), device="cpu")
    model.set_alignment_heads(torch.load(path, weights_only=True)["alignment_heads"])
    found = model.alignment_heads.to_dense().nonzero().tolist()
    assert found == sorted(map(list, whisper.generation_config.alignment_heads))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning")  # openai-whisper's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_openai_knows_the_vocabulary(whisper, path, openai_whisper):
    model = openai_whisper.load_model(str(path), device="cpu")
    assert model.is_multilingual == whisper.is_multilingual
    tokenizer = openai_whisper.tokenizer.get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages
    )
    ours = whisper.processor.tokenizer.convert_tokens_to_ids
    for token in ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|0.00|>"):
        assert tokenizer.encoding.encode_single_token(token) == ours(token)


def test_another_output_projection_is_refused(whisper, tmp_path, monkeypatch):
    monkeypatch.setattr(whisper.model, "proj_out", torch.nn.Linear(16, whisper.model.config.vocab_size))
    with pytest.raises(PublishError, match="output projection is not its token embedding"):
        write_openai_checkpoint(whisper, tmp_path / "x.pt")


def test_weights_that_float16_holds_are_written_in_it(folders, tmp_path):
    whisper = load_whisper(ModelArguments(str(folders("base"))))
    write_openai_checkpoint(whisper, tmp_path / "float32.pt")
    whisper.model.half().float()
    write_openai_checkpoint(whisper, tmp_path / "float16.pt")
    exact, rounded = (
        torch.load(tmp_path / f"{name}.pt")["model_state_dict"] for name in ("float32", "float16")
    )
    assert {weight.dtype for weight in exact.values()} == {torch.float32}
    assert {weight.dtype for weight in rounded.values()} == {torch.float16}
    for name, weight in exact.items():
        assert torch.equal(rounded[name], weight.half()), name
