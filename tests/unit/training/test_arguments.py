import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from recipe.arguments import TrainerOptions, option_names
from recipe.errors import JobError
from recipe.training.arguments import (
    Arguments,
    RecipeTrainingArguments,
    check_arguments,
    parse_arguments,
)
from recipe.training.first_look import find_output_dir


@pytest.fixture
def flags(tmp_path) -> list[str]:
    return ["--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "run"), "--use_cpu", "true"]


def check(flags: list[str]) -> None:
    check_arguments(parse_arguments(flags))


def test_flags_json_and_yaml_say_the_same(tmp_path, flags):
    values = {name[2:]: value for name, value in zip(flags[::2], flags[1::2], strict=True)}
    values |= {"use_cpu": True, "language": "fr", "num_train_epochs": 3}
    json_file, yaml_file = tmp_path / "a.json", tmp_path / "a.yaml"
    json_file.write_text(json.dumps(values), encoding="utf-8-sig")  # as editors on Windows write it
    yaml_file.write_text(yaml.safe_dump(values))
    by_flags = parse_arguments([*flags, "--language", "fr", "--num_train_epochs", "3"])
    for other in (parse_arguments([str(json_file)]), parse_arguments([str(yaml_file)])):
        assert other.model == by_flags.model
        assert other.data == by_flags.data
        assert other.training.num_train_epochs == by_flags.training.num_train_epochs == 3


def test_other_speech_may_be_given_again_and_again_and_needs_something_to_compare(flags):
    given = [*flags, "--other_dir", "news:fr", "songs", "--other_dir", "calls:en"]
    assert parse_arguments(given).evaluation.other_dir == ["news:fr", "songs", "calls:en"]
    assert parse_arguments(flags).evaluation.other_dir is None
    with pytest.raises(JobError, match="other_dir needs an eval_fraction over 0"):
        check([*given, "--eval_fraction", "0"])


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("eval_fraction", "nan", "eval_fraction"),
        ("eval_fraction", "0.9", "eval_fraction"),
        ("prompt_fraction", "-0.1", "prompt_fraction"),
        ("learning_rate", "0", "learning_rate"),
        ("learning_rate", "inf", "learning_rate"),
        ("num_train_epochs", "0", "num_train_epochs"),
        ("num_train_epochs", "-1", "num_train_epochs"),
        ("per_device_train_batch_size", "-2", "per_device_train_batch_size"),
        ("seed", str(2**64), "seed"),
        ("max_steps", "0", "max_steps: expected -1"),
        ("save_total_limit", "2", "save_total_limit"),
        ("save_strategy", "no", "save_strategy"),
        ("average_tokens_across_devices", "false", "average_tokens_across_devices"),
        ("train_sampling_strategy", "sequential", "train_sampling_strategy"),
        ("auto_find_batch_size", "true", "auto_find_batch_size"),
        ("push_to_hub", "true", "push_to_hub"),
        ("hub_token", "hf_secret", "HF_TOKEN"),
        ("ignore_data_skip", "true", "ignore_data_skip"),
        ("max_audio_hours", "0", "max_audio_hours"),
        ("label_multiple", "0", "label_multiple"),
        ("speed_fraction", "1.1", "speed_fraction"),
        ("max_forgetting", "-1", "max_forgetting"),
        ("glossary_weight", "1.5", "glossary_weight needs a glossary_fraction over 0"),
        ("glossary_weight", "0.5", "glossary_weight: Input should be greater than or equal to 1"),
        ("cache_dir", "/fast", "cache_dir needs a prepared_dir that is remote"),
        ("other_dir", " ", "other_dir: expected FOLDER or FOLDER:language, found a blank"),
    ],
)
def test_an_odd_value_is_refused_by_name(flags, name, value, named):
    with pytest.raises(JobError) as caught:
        check([*flags, f"--{name}", value])
    assert named in str(caught.value)
    assert "hf_secret" not in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    [
        *(
            ["--manifest_file", "m.json"],
            ["--backend_base_url", "https://x.example"],
            ["--self_test", "true"],
        ),
        *(["--dataset_name", "owner/name"], ["--dataset_split", "train"], ["--dataset_config", "fr"]),
    ],
)
def test_contradicting_sources_are_refused(flags, extra):
    with pytest.raises(JobError):
        check([*flags, *extra])


def test_columns_need_a_table(tmp_path):
    flags = ["--output_dir", str(tmp_path), "--use_cpu", "true", "--self_test", "true"]
    with pytest.raises(JobError, match="text_column needs data_dir or dataset_name"):
        check([*flags, "--text_column", "sentence"])


def test_no_source_is_refused(tmp_path):
    with pytest.raises(JobError, match="one source of recordings"):
        check(["--output_dir", str(tmp_path), "--use_cpu", "true"])


def test_an_unknown_name_is_refused(flags):
    with pytest.raises(JobError, match="no_such_flag"):
        parse_arguments([*flags, "--no_such_flag", "1"])


def test_usual_flags_are_accepted(flags):
    check(flags)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"output_dir": "there", "no_such_option": 1}', id="JSON"),
        pytest.param("output_dir: there\nno_such_option: 1\n", id="YAML"),
    ],
)
def test_the_folder_of_a_refused_run_is_known_from_its_file(tmp_path, content):
    file = tmp_path / f"a.{'json' if content.startswith('{') else 'yaml'}"
    file.write_text(content)
    with pytest.raises(JobError, match="no_such_option"):
        parse_arguments([str(file)])
    assert find_output_dir([str(file)]) == Path("there")


def test_the_folder_of_a_refused_run_is_known_from_its_flags(flags, tmp_path):
    assert find_output_dir([*flags, "--no_such_flag", "1"]) == tmp_path / "run"
    assert find_output_dir([f"--output_dir={tmp_path}", "--seed"]) == tmp_path
    assert find_output_dir([f"--output_dir={tmp_path}", "--data_dir"]) == tmp_path


@pytest.mark.parametrize(
    "argv", [[], ["no_such_file.json"], ["--no_such_flag"], ["--output_dir"]], ids=" ".join
)
def test_a_run_that_names_no_folder_has_the_default_one(argv):
    assert find_output_dir(argv) == Path(parse_arguments(["--use_cpu", "true"]).training.output_dir)


def test_a_jobs_options_are_names_of_train_pys_arguments():
    assert option_names() <= {f.name for group in Arguments.__annotations__.values() for f in fields(group)}


def test_trainer_options_have_trainers_own_defaults():
    theirs = {f.name: f.default for f in fields(RecipeTrainingArguments)}
    for ours in fields(TrainerOptions):
        assert (theirs[ours.name] or 0) == (ours.default or 0), ours.name


def test_the_cpu_gets_neither_bfloat16_nor_workers(flags, tmp_path):
    training = parse_arguments(flags).training
    assert training.bf16 is False
    assert training.dataloader_num_workers == 0
    assert training.label_multiple == 1
    assert Path(training.output_dir) == tmp_path / "run"
