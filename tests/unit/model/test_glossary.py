"""Terms in prompts: drawn alike in any layout, placed as other programs place them, weighed in the loss."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import WhisperModel
from tiny_trainers import make_example, make_examples

from recipe.data.windows import MAX_LABEL_TOKENS, MAX_PROMPT_TOKENS, Segment
from recipe.model.glossary import MAX_DRAWN, MAX_GLOSSARY_TOKENS, MAX_SAID, TermPrompts, choose_fitting
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.labels import LabelEncoder, View
from recipe.model.whisper import Whisper

SAID = ["Ana", "Benito", "Carla", "Diego", "Elena", "Fabio"]
OTHERS = [f"t{number}" for number in range(60)]
VIEW = View((Segment(0, 2_000, "Ana, Benito, Carla, Diego, Elena et Fabio."),), 0, 3_000, has_timestamps=True)
BEFORE = (Segment(27_000, 28_500, "Hier."),)


@pytest.fixture(scope="module")
def encoder(whisper: Whisper) -> LabelEncoder:
    return LabelEncoder(whisper.processor.tokenizer, whisper.task)


def draw(encoder: LabelEncoder, fraction: float = 1.0, num_draws: int = 200) -> list[tuple[str, ...]]:
    prompts = TermPrompts([*SAID, *OTHERS], fraction)
    return [prompts.add_terms(VIEW, [1, 0, index], encoder).terms for index in range(num_draws)]


def test_a_few_terms_of_the_window_stand_among_others(encoder: LabelEncoder) -> None:
    drawn = draw(encoder)
    num_said = [len({*terms} & {*SAID}) for terms in drawn]
    assert {*num_said} == {*range(MAX_SAID + 1)}
    lengths = [len(terms) for terms in drawn]
    assert min(lengths) <= 4
    assert 15 < max(lengths) <= MAX_DRAWN
    assert all(len({*terms}) == len(terms) for terms in drawn)
    assert max(len(encoder.encode_terms(terms)) for terms in drawn) <= MAX_GLOSSARY_TOKENS
    places = [terms.index(name) / len(terms) for terms in drawn for name in SAID if name in terms]
    assert 0.3 < np.mean(places) < 0.6, "neither first nor last"


def test_the_fraction_says_how_many_prompts_hold_terms(encoder: LabelEncoder) -> None:
    assert 70 < sum(map(bool, draw(encoder, 0.5))) < 130
    assert not any(draw(encoder, 0.0))


def test_what_is_drawn_depends_on_seed_epoch_and_index_alone(encoder: LabelEncoder) -> None:
    prompts = TermPrompts([*SAID, *OTHERS], 1.0)
    keys = [[seed, epoch, index] for seed in (1, 2) for epoch in (0, 1) for index in (0, 1)]
    first = {tuple(key): prompts.add_terms(VIEW, key, encoder).terms for key in keys}
    again = TermPrompts([*SAID, *OTHERS], 1.0)  # as another process has it
    assert {tuple(key): again.add_terms(VIEW, key, encoder).terms for key in keys[::-1]} == first
    assert len({*first.values()}) == len(keys)


def test_terms_change_nothing_else_of_a_window(whisper: Whisper) -> None:
    examples = make_examples([make_example("Ana et Benito", start_ms=n) for n in range(8)])
    views = ViewProbabilities(0.5, 0.5, 0.5)
    plain = WindowDataset(examples, whisper, views, seed=3)
    prompted = WindowDataset(examples, whisper, views, seed=3, term_prompts=TermPrompts(SAID, 1.0))
    for index in range(8):
        first, second = plain[1, index], prompted[1, index]
        assert first["labels"] == second["labels"]
        assert np.array_equal(first["input_features"], second["input_features"])
        assert len(second["decoder_input_ids"]) > len(first["decoder_input_ids"])
        assert "label_weights" not in second


def start_like_faster_whisper(
    whisper: Whisper, terms: list[str], before: list[int], **more: Any
) -> list[int]:
    backend = whisper.processor.tokenizer.backend_tokenizer
    tokenizer = Tokenizer(backend, multilingual=True, task="transcribe", language="fr")
    model = WhisperModel.__new__(WhisperModel)
    model.max_length = MAX_LABEL_TOKENS
    return model.get_prompt(tokenizer, before, hotwords=", ".join(terms), **more)


@pytest.mark.parametrize("has_timestamps", [True, False])
@pytest.mark.parametrize("prompt", [(), BEFORE], ids=["alone", "before what was said"])
def test_the_prompt_is_that_of_faster_whispers_hotwords(
    whisper: Whisper, encoder: LabelEncoder, prompt: tuple[Segment, ...], has_timestamps: bool
) -> None:
    view = replace(VIEW, prompt=prompt, has_timestamps=has_timestamps)
    plain, num_plain = encoder.encode(view, "fr")
    ids, num_ignored = encoder.encode(replace(view, terms=tuple(SAID)), "fr")
    assert ids[num_ignored:] == plain[num_plain:]
    expected = start_like_faster_whisper(
        whisper, SAID, plain[1:num_plain], without_timestamps=not has_timestamps
    )
    assert ids[: len(expected)] == expected
    assert encoder.start_prompt(SAID) + encoder.start_tokens("fr") == start_like_faster_whisper(
        whisper, SAID, []
    )


def test_the_prompt_is_that_of_transformers_prompt_ids(whisper: Whisper, encoder: LabelEncoder) -> None:
    assert encoder.start_prompt(SAID) == whisper.processor.get_prompt_ids(", ".join(SAID)).tolist()


def test_terms_come_first_and_what_was_said_gets_what_is_left(encoder: LabelEncoder) -> None:
    long = tuple(Segment(0, 1_000, "avant " * 40) for _ in range(10))
    view = replace(VIEW, prompt=long, terms=tuple(SAID))
    ids, num_ignored = encoder.encode(view, "fr")
    plain, num_plain = encoder.encode(replace(view, terms=()), "fr")
    assert num_ignored == num_plain == MAX_PROMPT_TOKENS + 1
    num_terms = len(encoder.encode_terms(SAID))
    assert ids[1 : num_terms + 1] == encoder.encode_terms(SAID)
    assert ids[num_terms + 1 :] == plain[num_terms + 1 :], "the end of what was said stays"


def test_a_label_that_fills_the_decoder_leaves_no_room_for_terms(encoder: LabelEncoder) -> None:
    start, _ = encoder.encode(View((Segment(0, 9_000, "~"),), 0, 9_000), "fr")
    num_letters = MAX_LABEL_TOKENS - len(start) + 1
    for num_fewer, num_prompt in ((0, 0), (1, 0), (2, 2), (5, 5)):
        text = "~" * (num_letters - num_fewer)
        view = View((Segment(0, 9_000, text),), 0, 9_000, BEFORE, terms=tuple(SAID))
        ids, num_ignored = encoder.encode(view, "fr")
        assert (len(ids), num_ignored) == (MAX_LABEL_TOKENS - num_fewer + num_prompt, num_prompt)


def test_as_many_terms_are_used_as_fit_in_order(encoder: LabelEncoder) -> None:
    terms = [*SAID, *OTHERS]
    used = choose_fitting(terms, encoder)
    assert 6 < len(used) < len(terms)
    assert used == terms[: len(used)]
    num_tokens = [len(encoder.encode_terms(terms[:number])) for number in (len(used), len(used) + 1)]
    assert num_tokens[0] <= MAX_GLOSSARY_TOKENS < num_tokens[1]
    assert choose_fitting(SAID, encoder) == SAID
    assert choose_fitting([], encoder) == []


@pytest.mark.parametrize("has_timestamps", [True, False])
def test_the_tokens_of_terms_weigh_more_and_no_others(
    whisper: Whisper, encoder: LabelEncoder, has_timestamps: bool
) -> None:
    segments = (Segment(0, 1_000, "Bonjour l\u2019Élena, dit Carla."), Segment(1_000, 2_000, "Au revoir Ana"))
    terms = ("élena", "Ana", "absent")
    view = View(segments, 0, 3_000, has_timestamps=has_timestamps, terms=terms)
    ids, num_ignored = encoder.encode(view, "fr")
    labels = ids[num_ignored + 1 :]
    weights = TermPrompts([*terms, "Carla"], 1.0, 1.5).weigh_labels(view, "fr", encoder)
    assert len(weights) == len(labels)
    heavy = [label for label, weight in zip(labels, weights, strict=True) if weight == 1.5]
    assert {*weights} == {1.0, 1.5}
    assert whisper.processor.tokenizer.decode(heavy).replace(" ", "") == "ÉlenaAna"


def test_a_batch_has_weights_for_its_labels_and_none_for_padding(whisper: Whisper) -> None:
    texts = ["Ana", "Ana et Benito et Carla", "rien"]
    examples = make_examples([make_example(text) for text in texts])
    windows = WindowDataset(
        examples, whisper, ViewProbabilities(), term_prompts=TermPrompts([*SAID, *OTHERS], 1.0, 3.0)
    )
    items = [windows[0, index] for index in range(3)]
    batch = collate(items, pad_token_id=0, multiple_of=64)
    assert batch["label_weights"].shape == batch["labels"].shape
    assert not batch["label_weights"][batch["labels"] == -100].any()
    assert (batch["label_weights"][batch["labels"] != -100] >= 1).all()
