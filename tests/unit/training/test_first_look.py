import json

import pytest

from recipe.run.files import acquire
from recipe.run.folder import RunFolder
from recipe.training.first_look import look_first

SENTENCE = "holds no audio file. It holds 1 .docx (notes.docx)"


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.docx").write_text("")
    return tmp_path / "data", RunFolder(tmp_path / "run")


def flags(data, run, *more: str) -> list[str]:
    return ["--seed", "1", "--data_dir", str(data), "--output-dir", str(run.path), *more]


@pytest.mark.parametrize("form", ["flags", "yaml", "json"])
def test_a_folder_with_nothing_in_it_ends_the_process_with_a_sentence(tmp_path, folders, form, caplog):
    data, run = folders
    file = tmp_path / f"arguments.{form}"
    file.write_text(json.dumps({"data_dir": str(data), "output_dir": str(run.path)}))
    with pytest.raises(SystemExit) as end:
        look_first(flags(data, run) if form == "flags" else [str(file)])
    assert end.value.code == 1
    sentence, kind = run.read_error()
    assert (SENTENCE in sentence, kind) == (True, "DataError")
    assert caplog.messages == [sentence]


@pytest.mark.parametrize(
    "options", [["--backend_base_url", "https://a.example"], ["--data_dir"], ["--self_test", "1"]]
)
def test_what_the_attempt_must_tell_itself_is_left_to_it(folders, options):
    data, run = folders
    look_first(flags(data, run, *options) if options[0] != "--self_test" else options)
    assert run.read_error() is None


def test_a_finished_run_and_one_in_use_are_left_as_they_are(folders):
    data, run = folders
    run.path.mkdir()
    with run.train_lock.open("a") as lock:
        acquire(lock, "held by the test")
        look_first(flags(data, run))
    run.result.write_text("{}")
    look_first(flags(data, run))
    assert run.read_error() is None


@pytest.mark.parametrize("text", ["", "[1]", "{", "data_dir: [", "a: &a [*a]"])
def test_arguments_that_cannot_be_read_are_refused_later(tmp_path, text):
    for form in ("yaml", "json"):
        file = tmp_path / f"arguments.{form}"
        file.write_text(text)
        look_first([str(file)])
