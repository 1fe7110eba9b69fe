from dataclasses import asdict

from recipe.data.attention import MAX_LISTED, list_findings
from recipe.data.quality import SAID_AGAIN
from recipe.data.report import FAULTY, MACHINE_MADE, RecordingReport, report_warnings
from recipe.run.warning import DataWarning, Finding, Importance

EMPTY = "the file is empty (0 bytes)"


def test_each_kind_is_counted_whole_and_listed_in_part_the_most_important_first():
    reports = [
        RecordingReport(f"talk-{number}", "skipped", f"{EMPTY}; upload it again", notes=["a"])
        for number in range(MAX_LISTED + 5)
    ]
    reports.append(RecordingReport("loud", flags=["letters in capitals: 97%", MACHINE_MADE]))
    reports.append(RecordingReport("loop", lost_examples={f"{FAULTY}{SAID_AGAIN}": [5, 9]}))
    report = {"recordings": list(map(asdict, reports)), "duplicates": [["one", "two"]]}
    told = [
        DataWarning("Files were passed over.", Importance.INFORMATION),
        DataWarning("Made by a machine.", Importance.MISLEADING, ()),
        DataWarning("The error rate flatters.", Importance.MISLEADING),
        DataWarning("One is lost.", Importance.LOST, [Finding("captions without audio", "why", "a.vtt")]),
    ]
    kinds = list_findings(report, [*told, *report_warnings(reports)])
    assert [(kind["what"], kind["number"]) for kind in kinds] == [
        ("captions without audio", 1),
        ("recordings that are not trained", MAX_LISTED + 5),
        ("faulty windows", 1),
        ("the dataset as a whole", 1),
        ("letters in capitals", 1),
        (MACHINE_MADE, 1),
        ("the same recording again", 1),
    ]
    assert len(kinds[1]["items"]) == MAX_LISTED
    assert kinds[1]["items"][0] == {
        "what": "recordings that are not trained",
        "why": EMPTY,
        "where": "talk-0",
        "start_ms": None,
        "end_ms": None,
        "mend": "Upload it again.",
        "notes": ["a"],
    }
    assert (kinds[2]["items"][0]["start_ms"], kinds[2]["items"][0]["end_ms"]) == (5, 9)
    assert (kinds[3]["items"][0]["why"], kinds[3]["items"][0]["mend"]) == ("The error rate flatters.", "")
