import json

from recipe.run.warning import DataWarning, Importance, most_important_first


def test_warnings_are_shown_by_importance_and_then_as_they_arose():
    told = DataWarning("files were passed over", Importance.INFORMATION)
    lost = [DataWarning(f"{name}: skipped", Importance.LOST) for name in ("b", "a")]
    assert most_important_first([told, "plain", *lost]) == ["b: skipped", "a: skipped", "plain", told]


def test_a_warning_is_its_sentence_wherever_it_is_written():
    assert json.loads(json.dumps([DataWarning("a sentence", Importance.LOST)])) == ["a sentence"]
