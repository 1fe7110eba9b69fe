"""The platform's requests: what is accepted, and with which words the rest is refused."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from damages import DAMAGES, Damage
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.arguments import FOLDER_OPTIONS, option_names
from recipe.errors import JobConflictError, JobError
from recipe.run.folder import RunFolder
from recipe.run.glossary import read_glossary
from recipe.run.launch import REPOSITORY_DIR
from recipe.run.redaction import Redactor
from recipe.run.settings import OperatorSettings
from recipe.worker.job import AcceptedJob, Job, find_addressee, find_secrets, open_run, parse_json, read_job
from recipe.worker.supervisor import report_refusal

SEED = json.loads("""
{"input": {"model_id": "openai/whisper-tiny", "epochs": 1, "project_id": "uuid-string", "user_id": "uuid-string",
 "backend_base_url": "https://your-backend.com", "auth_token": "jwt-token-or-empty", "worker_api_key": "shared-secret",
 "batch_size": 2, "learning_rate": 2e-05,
 "files_manifest": [{"file_type": "audio", "filename": "recording1.wav"}, {"file_type": "transcript", "filename": "recording1.vtt"}]}}
""")["input"]  # noqa: E501 - the contract's own text, word for word


def audio(filename: object) -> dict[str, object]:
    return {"file_type": "audio", "filename": filename}


def nest(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


def read(changes: dict[str, Any] | None = None, event_id: str = "event-1", **operator: Any) -> AcceptedJob:
    return read_job(SEED | (changes or {}), event_id, OperatorSettings(runs_dir=Path("/runs"), **operator))


def test_the_seed_job_is_accepted_as_it_is() -> None:
    accepted = read()
    assert accepted.warnings == ()
    assert accepted.job.job_id == "event-1"
    assert accepted.job.settings() == {
        "model_id": "openai/whisper-tiny",
        "epochs": 1,
        "project_id": "uuid-string",
        "user_id": "uuid-string",
        "backend_base_url": "https://your-backend.com",
        "batch_size": 2,
        "learning_rate": 2e-05,
        "files_manifest": SEED["files_manifest"],
        "options": {},
    }


def test_the_smallest_job_leaves_to_the_run_what_goes_by_model_and_data() -> None:
    required = ("project_id", "user_id", "backend_base_url", "files_manifest")
    request = {name: SEED[name] for name in required}
    job = read_job(request, "event-1", OperatorSettings(runs_dir=Path("/runs"))).job
    assert job.model_id == "openai/whisper-tiny"
    assert (job.epochs, job.batch_size, job.learning_rate) == (None, None, None)
    given = job.to_train_arguments(RunFolder(Path("/runs/event-1")))
    assert not {"num_train_epochs", "per_device_train_batch_size", "learning_rate"} & set(given)
    assert job.secrets() == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"auth_token": "", "worker_api_key": ""}, id="both secrets blank"),
        pytest.param(
            {"auth_token": None, "worker_api_key": None, "job_id": None, "options": None}, id="nulls"
        ),
        pytest.param({"epochs": None, "batch_size": None, "learning_rate": None}, id="nulls of the schedule"),
        pytest.param({"auth_token": " token \n"}, id="a token copied with its line break"),
        pytest.param({"learning_rate": 1}, id="a whole number where a fraction is usual"),
        pytest.param({"epochs": 1000, "batch_size": 1024}, id="upper bounds"),
        pytest.param({"model_id": "gpt2"}, id="a hub id without an owner"),
        pytest.param({"model_id": "distil-whisper/distil-large-v3.5"}, id="dots in a hub id"),
        pytest.param({"files_manifest": [audio("talk [abc].m4a")]}, id="brackets in a name"),
        pytest.param({"files_manifest": [audio("100% très.wav")]}, id="accents and a percent sign"),
        pytest.param({"options": {"language": "fr", "eval_fraction": 0, "save_steps": 5}}, id="options"),
        pytest.param({"options": {"publish_to": "/runs/event-1/model"}}, id="its own model folder"),
        pytest.param({"job_id": "A.b_c-9"}, id="a job id with all its characters"),
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert read(changes).warnings == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"epochs": 0}, ["epochs", "found 0"], id="no epochs"),
        pytest.param({"epochs": 1001}, ["epochs", "1000"], id="too many epochs"),
        pytest.param({"epochs": True}, ["epochs", "found True"], id="true is no number"),
        pytest.param({"epochs": "1"}, ["epochs", "found '1'"], id="a text is no number"),
        pytest.param({"epochs": 1.0}, ["epochs"], id="a fraction is no count"),
        pytest.param({"batch_size": -2}, ["batch_size"], id="negative batch"),
        pytest.param({"batch_size": 10**30}, ["batch_size"], id="huge batch"),
        pytest.param({"learning_rate": float("nan")}, ["learning_rate", "nan"], id="not a number"),
        pytest.param({"learning_rate": float("inf")}, ["learning_rate"], id="infinity"),
        pytest.param({"learning_rate": 0}, ["learning_rate"], id="no learning"),
        pytest.param({"learning_rate": 2}, ["learning_rate"], id="too fast"),
        pytest.param({"user_id": ""}, ["user_id"], id="no user"),
        pytest.param({"user_id": "a/b"}, ["user_id", "'a/b'"], id="a user with a slash"),
        pytest.param({"project_id": ".."}, ["project_id"], id="a project of dots"),
        pytest.param({"project_id": 3}, ["project_id"], id="a project of the wrong type"),
        pytest.param({"backend_base_url": "http://b.example"}, ["https"], id="plain http"),
        pytest.param(
            {"backend_base_url": "https://u:pw@b.example"}, ["credentials"], id="credentials inside"
        ),
        pytest.param({"backend_base_url": "https://127.0.0.1"}, ["not a public"], id="loopback"),
        pytest.param({"backend_base_url": "file:///etc"}, ["backend_base_url"], id="a file"),
        pytest.param({"auth_token": "a\nb"}, ["auth_token"], id="a line break inside a token"),
        pytest.param({"worker_api_key": 5}, ["worker_api_key"], id="a key of the wrong type"),
        pytest.param({"model_id": "../../etc/passwd"}, ["model_id"], id="a model path"),
        pytest.param({"model_id": "/etc"}, ["WHISPERTRAIN_MODELS_DIR"], id="a model folder"),
        pytest.param({"model_id": "a/b/c"}, ["model_id"], id="three parts"),
        pytest.param({"model_id": "a--b/c"}, ["model_id"], id="a doubled hyphen"),
        pytest.param({"job_id": "../x"}, ["job_id"], id="a job id with a path"),
        pytest.param({"job_id": "x" * 129}, ["job_id"], id="a long job id"),
        pytest.param({"job_id": ".hidden"}, ["job_id"], id="a hidden job id"),
        pytest.param({"files_manifest": []}, ["files_manifest"], id="no files"),
        pytest.param({"files_manifest": None}, ["files_manifest"], id="no manifest"),
        pytest.param({"files_manifest": {"a": 1}}, ["files_manifest", "list"], id="no list"),
        pytest.param({"files_manifest": ["a.wav"]}, ["files_manifest[0]"], id="names alone"),
        pytest.param({"files_manifest": [audio("../x")]}, ["files_manifest[0]", "'../x'"], id="../x"),
        pytest.param({"files_manifest": [audio("a?b#c")]}, ["files_manifest[0]", "'a?b#c'"], id="a?b#c"),
        pytest.param({"files_manifest": [audio("x" * 300)]}, ["found 300", "255"], id="300 characters"),
        pytest.param({"files_manifest": [audio("a\ud800")]}, ["\\ud800"], id="half a character"),
        pytest.param({"files_manifest": [audio("a"), audio("a")]}, ["once", "repeated: a"], id="duplicates"),
        pytest.param({"files_manifest": [audio(7)]}, ["files_manifest[0].filename"], id="a number as name"),
        pytest.param(
            {"files_manifest": [{"file_type": "transcript", "filename": "a.vtt"}]}, ["audio"], id="no audio"
        ),
        pytest.param(
            {"files_manifest": [{"file_type": "video", "filename": "a"}, audio("b")]},
            ["files_manifest[0].file_type", "'video'"],
            id="an unknown type",
        ),
        pytest.param({"options": {"lerning_rate": 1}}, ["lerning_rate is not an option"], id="a typo"),
        pytest.param(
            {"options": {"average_checkpoints": 1}},
            ["average_checkpoints is not an option"],
            id="an option that is no more",
        ),
        pytest.param({"options": {"output_dir": "/"}}, ["output_dir is not an option"], id="our own folder"),
        pytest.param({"options": {"dataset_name": "x"}}, ["dataset_name is not an option"], id="a dataset"),
        pytest.param(
            {"options": {"prepared_dir": "s3://bucket/speech", "cache_dir": "/"}},
            ["prepared_dir is not an option", "cache_dir is not an option"],
            id="a prepared dataset",
        ),
        pytest.param({"options": {"self_test": True}}, ["self_test is not an option"], id="a hidden door"),
        pytest.param({"options": {"model_name_or_path": "x"}}, ["is not an option"], id="the model again"),
        pytest.param({"options": {"eval_fraction": 0.9}}, ["eval_fraction", "0.9"], id="out of bounds"),
        pytest.param({"options": {"max_steps": 0}}, ["max_steps: expected -1", "found 0"], id="no updates"),
        pytest.param({"options": {"seed": True}}, ["seed"], id="a seed that is true"),
        pytest.param({"options": {"publish_to": "/etc"}}, ["publish_to", "/etc"], id="a foreign folder"),
        pytest.param({"options": {"publish_to": "/runs/../etc"}}, ["publish_to"], id="a way out"),
        pytest.param({"options": {"publish_to": "/runs/event-2/model"}}, ["publish_to"], id="another run's"),
        pytest.param({"options": {"publish_to": "hub:me/x"}}, ["PUBLISH_HUB_OWNERS"], id="a foreign owner"),
        pytest.param({"options": {"publish_to": "s3://b-1/x"}}, ["PUBLISH_BUCKETS"], id="a foreign bucket"),
        pytest.param(
            {"epochs": 0, "options": {"publish_to": "hub:me/x", "seed": "a"}},
            ["epochs", "seed", "PUBLISH_HUB_OWNERS"],
            id="a destination among other problems",
        ),
        pytest.param({"model_id": "recipe/data"}, ["model_id", "of the worker"], id="a folder as a hub id"),
        pytest.param({"model_id": "tests"}, ["model_id", "of the worker"], id="a folder as a plain id"),
        pytest.param({"model_id": "train.py"}, ["model_id", "of the worker"], id="a file as a plain id"),
        pytest.param({"options": {"publish_to": "~nobodyxyz"}}, ["~nobodyxyz"], id="no one's home"),
        pytest.param({"options": {"seed": 10**5000}}, ["hundreds of digits"], id="an option of 5000 digits"),
        pytest.param({"epochs": -(10**5000)}, ["hundreds of digits"], id="minus 5000 digits"),
        pytest.param({"unknown": {"a": [10**5000]}}, ["hundreds of digits"], id="5000 digits somewhere"),
        pytest.param({"options": nest(10_000)}, ["nested deeper"], id="deep options"),
        pytest.param({"unknown": nest(900)}, ["nested deeper"], id="a deep unknown field"),
        pytest.param({"model_id": "/models/" + "x" * 5000}, ["model_id"], id="a long folder"),
        pytest.param({"options": []}, ["options"], id="options as a list"),
    ],
)
def test_refused(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(JobError) as error:
        read(changes)
    assert [text for text in named if text not in str(error.value)] == []


def test_every_problem_is_named_in_one_error() -> None:
    files = [audio("../x"), audio("a?b#c"), audio("same"), audio("same"), {"file_type": "x", "filename": "y"}]
    changes = {
        "epochs": 0,
        "user_id": "/",
        "files_manifest": files,
        "options": {"sed": 1, "eval_fraction": 2.0},
    }
    with pytest.raises(JobError) as error:
        read(changes)
    named = ("epochs", "user_id", "'../x'", "'a?b#c'", "same", "files_manifest[4]", "sed", "eval_fraction")
    assert [name for name in named if name not in str(error.value)] == []


def test_options_that_disagree_are_refused_in_one_sentence() -> None:
    with pytest.raises(JobError) as error:
        read({"options": {"lora_alpha": 16}})
    assert str(error.value) == "The settings cannot be used: lora_alpha needs a lora_rank over 0."


def test_a_thousand_problems_make_a_short_error() -> None:
    with pytest.raises(JobError, match="and 980 more") as error:
        read({"files_manifest": [audio(f"{number}/x") for number in range(1000)]})
    assert len(str(error.value)) < 5000


def test_no_error_shows_a_secret_or_a_password() -> None:
    changes = {
        "auth_token": "s3cret\x00",
        "worker_api_key": ["s3cret"],
        "backend_base_url": "https://u:s3cret@b",
    }
    with pytest.raises(JobError) as error:
        read(changes)
    assert "s3cret" not in str(error.value)


def test_secrets_are_not_in_the_repr_nor_in_the_settings() -> None:
    job = read({"auth_token": "s3cret-a", "worker_api_key": "s3cret-b"}).job
    assert job.secrets() == ["s3cret-a", "s3cret-b"]
    assert "s3cret" not in repr(job) + json.dumps(job.settings()) + json.dumps(
        job.to_train_arguments(RunFolder(Path("/r")))
    )


@pytest.mark.parametrize("word", ["null", " None ", "undefined", "NIL", " "])
def test_a_word_for_nothing_is_no_credential(word: str) -> None:
    job = read({"auth_token": word, "worker_api_key": "k3y"}).job
    assert job.auth_token.get_secret_value() == ""
    assert job.secrets() == ["k3y"]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"auth_token": "s3cret"}, id="an object"),
        pytest.param({"auth_token": " s3cret\n", "epochs": "wrong"}, id="with spaces, in a wrong job"),
        pytest.param('{"auth_token": "s3cret"}', id="JSON"),
        pytest.param('{"auth_token": "s3cret", "auth_token": "other"}', id="twice"),
        pytest.param('{"auth_token": "other", "auth_token": "s3cret"}', id="twice, the last"),
        pytest.param('{"auth_\\u0074oken": "s3cret"}', id="with an escaped name"),
        pytest.param('{"auth_token": "s3c\\u0072et"}', id="with an escaped letter"),
        pytest.param('{"auth_token": "s3c\\u0072et", ', id="with an escaped letter, cut"),
        pytest.param('{"epochs": 1, "worker_api_key": "s3cret', id="cut inside"),
        pytest.param("{'auth_token': 's3cret'}", id="a Python literal"),
        pytest.param("{auth_token: s3cret, epochs: 1}", id="without quotes"),
        pytest.param('{"auth_token" :\n"s3cret"', id="on two lines"),
    ],
)
def test_secrets_are_known_whether_or_not_the_job_is_valid(request_: object) -> None:
    assert "s3cret" in find_secrets(request_)


@pytest.mark.parametrize(
    "request_", [None, 5, [], "", "[]", '"x"', "[" * 100_000, {"auth_token": 5}], ids=type
)
def test_a_request_without_secrets(request_: object) -> None:
    assert find_secrets(request_) == []


def test_unknown_fields_are_ignored_and_named_once() -> None:
    files = [audio("a") | {"size": 1}, audio("b") | {"size": 2}]
    (warning,) = read({"priority": 3, "zone": "x", "files_manifest": files}).warnings
    assert warning.endswith("ignored: priority, zone, files_manifest[].size.")


@pytest.mark.parametrize("request_", [None, [], 3, "[]", "not JSON"], ids=str)
def test_a_request_that_is_no_object_is_refused(request_: object) -> None:
    with pytest.raises(JobError):
        read_job(request_, "event-1", OperatorSettings(runs_dir=Path("/runs")))


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', "{", "[" * 100_000],
)
def test_json_is_read_by_the_letter(text: str) -> None:
    with pytest.raises(JobError):
        parse_json(text)


def test_a_request_may_come_as_json_text() -> None:
    settings = OperatorSettings(runs_dir=Path("/runs"))
    assert read_job(json.dumps(SEED), "e", settings).job.settings() == read().job.settings()


@pytest.mark.parametrize(
    ("given", "event_id", "expected"),
    [
        pytest.param("mine", "event-1", "mine", id="its own name first"),
        pytest.param("", "a1b2-u1", "a1b2-u1", id="RunPod's name"),
        pytest.param("", "a/b", "event-", id="a name that cannot be a folder"),
        pytest.param("", "x" * 200, "event-", id="a name that is too long"),
        pytest.param("", "local_test", "local-", id="the local test"),
        pytest.param("", "test-1234", "local-", id="the local server"),
        pytest.param("", "", "local-", id="no name"),
    ],
)
def test_the_job_id_is_the_same_on_every_retry(given: str, event_id: str, expected: str) -> None:
    first, second = (read({"job_id": given}, event_id).job.job_id for _ in range(2))
    assert first == second
    assert first.startswith(expected)


def test_local_jobs_with_other_settings_have_other_ids() -> None:
    assert read({"epochs": 2}, "local_test").job.job_id != read({}, "local_test").job.job_id


def test_the_fingerprint_depends_on_the_settings_and_not_on_secrets_or_names() -> None:
    fingerprint = read().job.fingerprint()
    assert read({"auth_token": "fresh", "worker_api_key": ""}).job.fingerprint() == fingerprint
    assert read({"job_id": "x"}, "other").job.fingerprint() == fingerprint
    assert read({"new_field": 1}).job.fingerprint() == fingerprint
    others = [{"epochs": 2}, {"user_id": "u"}, {"files_manifest": [audio("b")]}, {"options": {"seed": 1}}]
    assert fingerprint not in {read(changes).job.fingerprint() for changes in others}


def test_the_arguments_of_the_training_carry_settings_and_options() -> None:
    job = read({"options": {"language": "fr"}, "job_id": "j"}).job
    arguments = job.to_train_arguments(RunFolder(Path("/runs/j")))
    assert arguments["model_name_or_path"] == "openai/whisper-tiny"
    assert arguments["num_train_epochs"] == 1
    assert arguments["per_device_train_batch_size"] == 2
    assert arguments["language"] == "fr"
    assert arguments["manifest_file"] == "/runs/j/manifest.json"
    assert arguments["output_dir"] == "/runs/j"


def test_a_model_folder_below_the_operators_is_accepted_and_a_link_out_of_it_is_not(tmp_path: Path) -> None:
    models, foreign = tmp_path / "models", tmp_path / "foreign"
    for folder in (models / "tiny", foreign):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    (models / "link").symlink_to(foreign)
    assert read({"model_id": str(models / "tiny")}, models_dir=models)
    for folder in (foreign, models / "link", models / "missing", models):
        with pytest.raises(JobError, match="model_id"):
            read({"model_id": str(folder)}, models_dir=models)


@pytest.mark.parametrize("option", FOLDER_OPTIONS)
def test_other_speech_below_the_operators_folder_is_accepted_and_a_link_out_of_it_is_not(
    tmp_path: Path, option: str
) -> None:
    """Anything else on the worker, another job's recordings for one, would be told in the report."""
    allowed, foreign = tmp_path / "speech", tmp_path / "foreign"
    for folder in (allowed / "news", foreign):
        folder.mkdir(parents=True)
    (allowed / "link").symlink_to(foreign)
    told = [f"{allowed / 'news'}:fr", str(allowed / "news")]
    assert read({"options": {option: told}}, other_dir=allowed).job.options[option] == told
    for folder in (foreign, allowed / "link", allowed / "missing", "news", "s3://bucket/news", "x" * 9000):
        with pytest.raises(JobError, match=f"{option}: expected folders below"):
            read({"options": {option: [str(folder)]}}, other_dir=allowed)
    with pytest.raises(JobError, match="WHISPERTRAIN_OTHER_DIR is not set"):
        read({"options": {option: told}})


def test_a_job_brings_the_terms_of_its_glossary_and_names_no_file(tmp_path: Path) -> None:
    terms = ["Frida Kahlo", "Coyoacán"]
    options = {"glossary": terms, "glossary_fraction": 0.5}
    job = read({"options": options}).job
    assert job.settings()["options"] == options
    assert job.fingerprint() != read({"options": {**options, "glossary": terms[::-1]}}).job.fingerprint()
    with open_run(tmp_path, job) as run:
        assert job.to_train_arguments(run)["glossary"] == str(run.glossary)
        assert read_glossary(run.glossary) == terms
    for wrong in ("/etc/passwd", "terms.txt", [], ["a", 1], {"a": "b"}, ["x" * 101], ["a\x00"], True):
        with pytest.raises(JobError, match="glossary"):
            read({"options": {"glossary": wrong}})
    assert "glossary" not in read({"options": {}}).job.to_train_arguments(RunFolder(tmp_path))
    with pytest.raises(JobError, match="glossary needs an eval_fraction or a glossary_fraction over 0"):
        read({"options": {"glossary": terms, "eval_fraction": 0}})


def test_a_hub_id_is_never_a_run_of_this_worker(tmp_path: Path) -> None:
    """By default the runs are in `runs/` of the repository, the folder that a training works in."""
    runs_dir = REPOSITORY_DIR / "runs"  # whether or not it is there
    with pytest.raises(JobError, match="model_id"):
        read_job(SEED | {"model_id": "runs/victim-model"}, "event-1", OperatorSettings(runs_dir))
    for folder in (tmp_path / "runs", runs_dir):
        assert read_job(SEED | {"model_id": "running/model"}, "event-1", OperatorSettings(folder))


def test_the_operator_opens_owners_and_buckets_to_jobs() -> None:
    assert read({"options": {"publish_to": "hub:me/x"}}, publish_hub_owners=("me",))
    assert read({"options": {"publish_to": "s3://b-1/x"}}, publish_buckets=("b-1",))


def test_the_operator_may_allow_a_private_backend() -> None:
    job = read({"backend_base_url": "http://127.0.0.1:8000/"}, is_private_backend_allowed=True).job
    assert job.backend_base_url == "http://127.0.0.1:8000"


def make_job(**changes: object) -> Job:
    fields = {"user_id": "u", "files_manifest": [audio("a.wav")], "job_id": "job-1"}
    return read(fields | changes).job


def test_a_new_job_claims_its_folder(tmp_path: Path) -> None:
    with open_run(tmp_path, make_job()) as run:
        assert json.loads((run.path / "manifest.json").read_text()) == [
            {"file_type": "audio", "filename": "a.wav"}
        ]
        assert json.loads((run.path / "job.json").read_text())["settings"]["user_id"] == "u"
        assert run.path.stat().st_mode & 0o777 == 0o700
        assert run.read_result() is None
        assert run.read_error() is None


def test_the_same_job_may_come_back_and_another_may_not(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path, make_job()):
            pass
    with pytest.raises(JobConflictError, match=r"differing: epochs"), open_run(tmp_path, make_job(epochs=2)):
        pytest.fail("it must not be opened")


def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, make_job()),
        pytest.raises(JobConflictError, match="running already"),
        open_run(tmp_path, make_job()),
    ):
        pytest.fail("it must not be opened")
    with open_run(tmp_path, make_job()):
        pass


@pytest.mark.parametrize("name", ["config.json", "result.json", "checkpoint-7", "staging"])
def test_a_folder_that_is_no_jobs_is_left_alone(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path / make_job().job_id)
    (run.path / name).mkdir(parents=True)
    with pytest.raises(JobConflictError, match="no job's"), open_run(tmp_path, make_job()):
        pytest.fail("it must not be opened")
    report_refusal(JobError("No."), make_job(), OperatorSettings(tmp_path, flush_seconds=0), Redactor([]))
    assert [path.name for path in run.path.iterdir()] == [name]


def test_what_a_refused_or_killed_job_leaves_is_its_own(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / make_job().job_id)
    run.path.mkdir()
    for path in (run.error, run.events, run.job_lock, run.manifest.with_suffix(".json.part")):
        path.touch()
    with open_run(tmp_path, make_job()):
        assert run.job.exists()


@pytest.mark.parametrize("name", ["job.json", "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_description_is_written_anew(tmp_path: Path, damage: Damage, name: str) -> None:
    with open_run(tmp_path, make_job()) as run:
        written = (run.path / name).read_bytes()
        damage(run.path / name)
    with open_run(tmp_path, make_job()) as run:
        assert (run.path / name).read_bytes() == written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=6,
)
odd_values = json_values | st.sampled_from(
    ["~nobodyxyz", "/models/../../x", "\ud800", "a\0b", "https://[::1", "hub:a/b", "s3://b", "9" * 5000]
    + [10**5000, nest(5000), "x" * 100_000, "/" * 5000, "/models/" + "x" * 300, -(2**63), 1e308]
)
names = st.sampled_from(sorted(Job.model_fields)) | st.text(st.characters(), max_size=8)
options = st.sampled_from(sorted(option_names())) | st.text(st.characters(), max_size=8)


@settings(deadline=None, max_examples=400)
@given(
    changes=st.dictionaries(names, odd_values, max_size=4),
    given_options=st.none() | st.dictionaries(options, odd_values, max_size=4),
    event_id=st.text(st.characters(), max_size=20),
    is_text=st.booleans(),
)
def test_any_request_is_accepted_or_refused_in_a_sentence(changes, given_options, event_id, is_text) -> None:
    request: object = SEED | changes | ({} if given_options is None else {"options": given_options})
    operator = OperatorSettings(runs_dir=Path("/runs"), models_dir=Path("/models"))
    with suppress(ValueError, RecursionError):  # what has no JSON text
        request = json.dumps(request) if is_text else request
    try:
        accepted = read_job(request, event_id, operator)
    except JobError as error:
        str(error).encode()
    else:
        assert accepted.job.job_id
        assert json.loads(json.dumps(accepted.job.to_train_arguments(RunFolder(Path("/runs/x")))))
        assert accepted.job.fingerprint()
    find_addressee(request, event_id, operator)
