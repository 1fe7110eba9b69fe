import copy
import json
import pickle

from recipe.run.warning import DataWarning, Finding, Importance, most_important_first


def test_warnings_are_shown_by_importance_and_then_as_they_arose():
    told = DataWarning("files were passed over", Importance.INFORMATION)
    lost = [DataWarning(f"{name}: skipped", Importance.LOST) for name in ("b", "a")]
    assert most_important_first([told, "plain", *lost]) == ["b: skipped", "a: skipped", "plain", told]


def test_a_warning_can_be_copied_and_sent_to_another_process():
    warning = DataWarning("a sentence", Importance.LOST, [Finding("what", "why")])
    for other in (copy.deepcopy(warning), pickle.loads(pickle.dumps(warning))):
        assert (other, other.importance, other.findings) == (warning, warning.importance, warning.findings)


def test_a_warning_is_its_sentence_wherever_it_is_written():
    assert json.loads(json.dumps([DataWarning("a sentence", Importance.LOST)])) == ["a sentence"]
