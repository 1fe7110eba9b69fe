"""The card and the metadata tell the figures and nothing private."""

import json

import pytest
from huggingface_hub import ModelCard

from recipe.errors import PublishError
from recipe.publish.metadata import format_metadata
from recipe.publish.model_card import format_model_card

FIGURES = {"wer_before": 0.5, "wer_after": 0.25, "wer_normalized_before": None, "wer_normalized_after": 0.2}


def test_the_hub_reads_language_base_model_licence_and_rates(make_facts):
    card = ModelCard(format_model_card(make_facts(figures=FIGURES, license="apache-2.0"), "whisper-tiny-fr"))
    assert (card.data.language, card.data.license, card.data.base_model) == (
        "fr",
        "apache-2.0",
        "openai/whisper-tiny",
    )
    assert {(result.metric_name, result.metric_value) for result in card.data.eval_results} == {
        ("WER", 25.0),
        ("WER, normalized", 20.0),
        ("WER of the base model", 50.0),
    }
    assert "| WER | 50.00% | 25.00% |" in card.text
    assert "| WER, normalized | n/a | 20.00% |" in card.text


def test_a_model_without_held_out_recordings_claims_nothing(make_facts):
    card = ModelCard(format_model_card(make_facts(figures={"wer_after": float("nan")}), "whisper-tiny-fr"))
    assert card.data.eval_results is None
    assert "nothing was measured" in card.text


@pytest.mark.parametrize(("code", "expected"), [("jw", "jv"), ("yue", "yue"), (None, None)])
def test_the_language_is_a_code_that_the_hub_knows(code, expected, make_facts):
    assert (
        ModelCard(format_model_card(make_facts(languages=(code,) if code else ()), "m")).data.language
        == expected
    )


def test_a_local_base_model_is_told_by_its_name_alone(make_facts, tmp_path):
    facts = make_facts(base_model=str(tmp_path / "private" / "base-7"))
    card = format_model_card(facts, "base-7-fr")
    assert "base-7" in card
    assert "base_model:" not in card
    assert str(tmp_path) not in card + format_metadata(facts)


def test_numbers_that_are_not_finite_become_null_in_the_metadata(make_facts):
    facts = make_facts(figures={"wer_after": float("nan")}, settings={"betas": (0.9, float("inf"))})
    metadata = json.loads(format_metadata(facts), parse_constant=pytest.fail)
    assert metadata["evaluation"] == {"wer_after": None}
    assert metadata["settings"] == {"betas": [0.9, None]}


def test_a_fact_that_json_cannot_hold_is_refused(make_facts):
    with pytest.raises(PublishError, match="JSON"):
        format_metadata(make_facts(settings={"device": {1, 2}}))


CHOICE = {
    "end": "average",
    "alpha": 0.7,
    "loss": 1.04,
    "num_errors": 39,
    "is_better_than_base": True,
    "num_windows": 6,
    "candidates": [
        {"end": "trained", "alpha": 0.0, "loss": 1.36, "num_errors": 67},
        {"end": "average", "alpha": 0.7, "loss": 1.04, "num_errors": 39},
        {"end": "trained", "alpha": 1.0, "loss": None, "num_errors": None},
    ],
}


def test_the_card_and_the_metadata_tell_which_weights_were_chosen_from_which(make_facts):
    card = format_model_card(make_facts(figures=FIGURES, choice=CHOICE), "whisper-tiny-fr")
    assert "Chosen on 6 held-out windows: 70% of the way to the mean of checkpoints, the nearest" in card
    assert "| the base model | 1.3600 | 67 |" in card
    assert "| the trained model |  |  |" in card
    assert json.loads(format_metadata(make_facts(choice=CHOICE)))["choice"] == CHOICE


def test_the_card_of_a_model_that_is_no_better_says_so(make_facts):
    choice = CHOICE | {"alpha": 1.0, "is_better_than_base": False}
    card = format_model_card(make_facts(figures=FIGURES, choice=choice), "whisper-tiny-fr")
    assert "the mean of checkpoints, no better than the base model." in card
