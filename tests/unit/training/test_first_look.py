import json
import os
import subprocess
import sys

import pytest

from recipe.errors import JobError
from recipe.run.files import acquire
from recipe.run.folder import RunFolder
from recipe.training.arguments import check_arguments, parse_arguments
from recipe.training.first_look import look_first

SENTENCE = "holds no audio file. It holds 1 .docx (notes.docx)"


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.docx").write_text("")
    return tmp_path / "data", RunFolder(tmp_path / "run")


def flags(data, run, *more: str) -> list[str]:
    return ["--seed", "1", "--data_dir", str(data), "--output-dir", str(run.path), *more]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])  # the second as editors on Windows write it
@pytest.mark.parametrize("form", ["flags", "yaml", "json"])
def test_a_folder_with_nothing_in_it_ends_the_process_with_a_sentence(
    tmp_path, folders, form, encoding, caplog
):
    data, run = folders
    file = tmp_path / f"arguments.{form}"
    file.write_text(json.dumps({"data_dir": str(data), "output_dir": str(run.path)}), encoding)
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


@pytest.mark.parametrize(
    "text", [b"", b"[1]", b"{", b"data_dir: [", b"a: &a [*a]", b"\xff\xfe", b"[" * 100_000]
)
def test_arguments_that_cannot_be_read_are_refused_later(tmp_path, text):
    for form in ("yaml", "json"):
        file = tmp_path / f"arguments.{form}"
        file.write_bytes(text)
        look_first([str(file)])
        with pytest.raises(JobError, match=r"cannot be read|expected options by name|a is not an option"):
            parse_arguments([str(file)])


@pytest.mark.parametrize("name", ["data_dir", "audio_column"])
def test_what_is_no_name_is_refused_later(tmp_path, folders, name):
    data, run = folders
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({"data_dir": str(data), "output_dir": str(run.path), name: ["a", "b"]}))
    look_first([str(file)])
    with pytest.raises(JobError, match=rf"{name}: Input should be a valid string"):
        check_arguments(parse_arguments([str(file)]))


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        (["--check_data"], ""),
        (["--check_data", "--seed", "1"], ""),
        (["--check-data=T"], ""),
        (["--check_data", "no"], "0"),
        ([], "0"),
    ],
)
def test_a_check_of_the_data_sees_no_gpu(monkeypatch, tmp_path, options, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    look_first(options)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == devices
    arguments = parse_arguments([*options, "--output_dir", str(tmp_path), "--use_cpu", "true"])
    assert arguments.source.check_data == (devices == "")


def test_nothing_heavy_is_imported():
    check = "print({'torch', 'transformers', 'accelerate', 'datasets', 'numpy', 'scipy'} & set(sys.modules))"
    code = f"import sys, recipe.training.first_look; {check}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
