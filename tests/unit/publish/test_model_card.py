"""The card and the metadata tell the figures and nothing private."""

import json

import pytest
from huggingface_hub import ModelCard

from recipe.errors import PublishError
from recipe.publish.metadata import format_metadata
from recipe.publish.model_card import format_model_card

FIGURES = {"wer_before": 0.5, "wer_after": 0.25, "wer_normalized_before": None, "wer_normalized_after": 0.2}


def test_the_hub_reads_language_base_model_licence_and_rates(make_metadata):
    card = ModelCard(
        format_model_card(make_metadata(figures=FIGURES, license="apache-2.0"), "whisper-tiny-fr")
    )
    assert (card.data.language, card.data.license, card.data.base_model) == (
        "fr",
        "apache-2.0",
        "openai/whisper-tiny",
    )
    assert {(result.metric_name, result.metric_value) for result in card.data.eval_results} == {
        ("WER", 25.0),
        ("WER, normalized", 20.0),
    }
    assert "| WER | 50.00% | 25.00% |" in card.text
    assert "| WER, normalized | n/a | 20.00% |" in card.text


def test_a_model_without_held_out_recordings_claims_nothing(make_metadata):
    card = ModelCard(format_model_card(make_metadata(figures={"wer_after": float("nan")}), "whisper-tiny-fr"))
    assert card.data.eval_results is None
    assert "nothing was measured" in card.text


@pytest.mark.parametrize(("code", "expected"), [("jw", "jv"), ("yue", "yue"), (None, None)])
def test_the_language_is_a_code_that_the_hub_knows(code, expected, make_metadata):
    assert (
        ModelCard(format_model_card(make_metadata(languages=(code,) if code else ()), "m")).data.language
        == expected
    )


def test_a_local_base_model_is_told_by_its_name_alone(make_metadata, tmp_path):
    metadata = make_metadata(base_model=str(tmp_path / "private" / "base-7"))
    card = format_model_card(metadata, "base-7-fr")
    assert "base-7" in card
    assert "base_model:" not in card
    assert str(tmp_path) not in card + format_metadata(metadata)


def test_numbers_that_are_not_finite_become_null_in_the_metadata(make_metadata):
    metadata = make_metadata(figures={"wer_after": float("nan")}, settings={"betas": (0.9, float("inf"))})
    written = json.loads(format_metadata(metadata), parse_constant=pytest.fail)
    assert written["evaluation"] == {"wer_after": None}
    assert written["settings"] == {"betas": [0.9, None]}


def test_a_value_that_json_cannot_hold_is_refused(make_metadata):
    with pytest.raises(PublishError, match="JSON"):
        format_metadata(make_metadata(settings={"device": {1, 2}}))


SELECTION = {
    "alpha": 0.7,
    "loss": 1.04,
    "num_errors": 39,
    "num_windows": 6,
    "candidates": [
        {"alpha": 0.0, "loss": 1.36, "num_errors": 67},
        {"alpha": 0.7, "loss": 1.04, "num_errors": 39},
        {"alpha": 1.0, "loss": None, "num_errors": None},
    ],
}


def test_the_card_and_the_metadata_tell_which_weights_were_selected_from_which(make_metadata):
    card = format_model_card(make_metadata(figures=FIGURES, weight_selection=SELECTION), "whisper-tiny-fr")
    assert "Selected on 6 validation windows: 70% of the way to the trained model, the nearest" in card
    assert "| the base model | 1.3600 | 67 |" in card
    assert "| the trained model |  |  |" in card
    written = json.loads(format_metadata(make_metadata(weight_selection=SELECTION)))
    assert written["weight_selection"] == SELECTION


OTHER = {
    "name": "news",
    "wer_normalized_before": 0.0523,
    "wer_normalized_after": 0.0611,
    "comparison": {"num_words": 1234, "after_interval": [0.05, 0.07], "verdict": "worse"},
}


def test_the_card_tells_what_other_speech_lost_and_that_it_had_a_say(make_metadata):
    rises = [{}, {"news": 0.002, "songs": -0.01}, {"news": 0.02, "songs": 0.001}]
    candidates = [c | {"rises": r} for c, r in zip(SELECTION["candidates"], rises, strict=True)]
    metadata = make_metadata(
        figures=FIGURES, weight_selection={**SELECTION, "candidates": candidates}, other_speech=[OTHER]
    )
    card = format_model_card(metadata, "whisper-tiny-fr")
    assert "| news | 1,234 | 5.23% | 6.11% | 5.0% to 7.0% | worse |" in card
    assert "| 70% of the way to the trained model | 1.0400 | 39 | +0.2 |" in card
    assert "| the trained model |  |  | +2.0 |" in card
    assert "what weights lose on other speech had a say" in card
    assert json.loads(format_metadata(metadata))["other_speech"] == [OTHER]


def test_the_card_says_where_no_weights_were_better(make_metadata):
    selection = SELECTION | {"alpha": 1.0, "num_errors": 67, "loss": None}
    card = format_model_card(make_metadata(figures=FIGURES, weight_selection=selection), "whisper-tiny-fr")
    assert "the trained model, no better than the base model there." in card


def test_the_card_says_what_may_be_said_of_the_figure_first(make_metadata):
    sentence = "The trained model is not shown to be better: 28.7% of the words are wrong."
    metadata = make_metadata(figures=FIGURES, comparison={"sentence": sentence})
    card = format_model_card(metadata, "whisper-tiny-fr")
    assert f"## Results\n\n{sentence}\n\n" in card
    assert json.loads(format_metadata(metadata))["comparison"] == {"sentence": sentence}
