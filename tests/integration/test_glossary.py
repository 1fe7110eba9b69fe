"""A glossary in a run: in prompts that are trained, and before and after on the test part, told alike."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import TrainingRun, run_script, send, write_recording

Make = Callable[..., TrainingRun]

TERMS = ["hertz", "tone of", "never said", "again"]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    root = tmp_path_factory.mktemp("glossary")
    (root / "data").mkdir()
    for number in range(6):
        write_recording(root / "data" / f"tones-{number}", 6, seed=number)
    (root / "terms.txt").write_text("# most important first\n" + "\n".join(TERMS))
    return partial(make_run, root, tiny_dir)


def make_run(root: Path, tiny_dir: Path, name: str, **options: object) -> TrainingRun:
    defaults = {
        "data_dir": root / "data",
        "model_name_or_path": tiny_dir,
        "language": "en",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "eval_fraction": 0.3,
        "eval_strategy": "no",
        "interpolate": False,
        "long_form": "off",
        "publish_if_worse": True,
        "glossary": root / "terms.txt",
        "glossary_fraction": 0.7,
        "glossary_weight": 1.5,
    }
    return TrainingRun(root / "runs" / name, defaults | options)


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet").finish()


def test_report_page_event_result_card_and_console_tell_the_same(quiet: TrainingRun) -> None:
    told = quiet.read("report.json")["glossary"]
    assert (told["num_terms"], told["num_used"], told["num_said"], told["terms"]) == (4, 4, 3, TERMS)
    num_said = {
        told[side][kind]["num_said"] for side in ("before", "after") for kind in ("plain", "prompted")
    }
    said = " ".join(window["reference"] for window in quiet.read("report.json")["windows"])
    assert num_said == {sum(said.count(term) for term in TERMS)}
    del told["terms"]
    assert quiet.read("result.json")["evaluation"]["glossary"] == told
    metadata = quiet.read("model/training_metadata.json")
    assert metadata["glossary"] == told
    assert "never said" not in str(metadata)
    (completed,) = (event for event in quiet.events if event["status"] == "evaluation_completed")
    assert completed["glossary"] == told
    card = (quiet.folder / "model" / "README.md").read_text()
    page = (quiet.folder / "report.html").read_text()
    assert "hotwords=terms" in card
    for text in (card, page, quiet.output):
        assert told["sentence"] in text
    assert "never said" not in card
    assert "hertz, tone of, never said, again" in page


def test_trackers_are_told_the_figures_and_no_term(quiet: TrainingRun) -> None:
    told = quiet.read("report.json")["glossary"]
    board = EventAccumulator(str(quiet.folder / "logs"), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    for name, side, kind in (
        ("test/keyword_recall", "after", "plain"),
        ("test/keyword_recall_prompted_before", "before", "prompted"),
    ):
        (figure,) = board.Scalars(name)
        assert figure.value == pytest.approx(told[side][kind]["recall"])
    (outcome,) = board.Tensors("outcome/text_summary")
    text = outcome.tensor_proto.string_val[0].decode()
    assert told["sentence"] in text
    assert "never said" not in text


def test_the_script_gives_the_published_model_the_figures_of_its_run(
    quiet: TrainingRun, tmp_path: Path
) -> None:
    given = ["--model", quiet.folder / "model", "--data_dir", quiet.options["data_dir"]]
    given += ["--report", quiet.folder / "report.json", "--glossary", quiet.options["glossary"]]
    output = run_script("scripts/evaluate_wer.py", *given, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["glossary"]
    told = quiet.read("report.json")["glossary"]
    assert {side: figures[side] for side in ("plain", "prompted")} == told["after"]
    assert "All 4 terms of the glossary fit into the prompt." in output


def test_a_killed_run_ends_with_the_weights_of_one_that_is_not(make: Make, quiet: TrainingRun) -> None:
    run = make("killed", save_strategy="steps", save_steps=1)
    run.interrupt(send(9, after=2))
    killed, undisturbed = (load(done.weights) for done in (run.finish(), quiet))
    assert all(killed[name].equal(weight) for name, weight in undisturbed.items())


def test_a_glossary_of_which_nothing_is_said_costs_nothing_and_is_told(make: Make, tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("Coyoacán\n")
    run = make("unsaid", glossary=tmp_path / "terms.txt", max_steps=1).finish()
    assert run.read("report.json")["glossary"] == {}
    assert not list((run.folder / "cached").glob("*glossary*"))
    (warning,) = (text for text in run.read("result.json")["warnings"] if "glossary" in text)
    assert warning.startswith("None of the 1 terms of the glossary")


def test_what_is_no_glossary_is_refused_before_anything_is_loaded(make: Make, tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_bytes(b"\xff\xfe\x00")
    run = make("refused", glossary=tmp_path / "terms.txt")
    assert run.attempt() == 1
    assert "is not UTF-8 text (line 1)" in run.read("error.json")["error"]
    assert not (run.folder / "prepared").exists()


def test_whole_recordings_are_transcribed_with_it_too(make: Make) -> None:
    run = make("whole", long_form="on", max_steps=1).finish()
    told = run.read("report.json")["glossary"]
    plain = run.read("report.json")["long_form"]
    for side in ("before", "after"):
        assert told["whole"][side]["plain"]["wer_normalized"] == plain[side]["wer_normalized"]
        assert told["whole"][side]["prompted"]["num_said"] == told[side]["plain"]["num_said"]
    assert "Whole recordings: Words wrong" in (run.folder / "report.html").read_text()
