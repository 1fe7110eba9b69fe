import shlex

from tiny_trainers import evaluation_with

from recipe.training.arguments import parse_arguments
from recipe.training.run_report import describe_command, trace_curve


def test_the_curve_begins_with_the_base_model() -> None:
    before = {"validation": evaluation_with(40, num_words=100, loss=2.5), "test": evaluation_with(30)}
    history = [
        {"step": 5, "loss": 1.5, "learning_rate": 1e-5},
        {"step": 5, "eval_loss": 1.7, "eval_wer_normalized": 0.3},
        {"step": 5, "train_runtime": 12.0},
    ]
    assert list(trace_curve(history, before)) == [
        {"step": 0, "wer_normalized": 0.4, "validation_loss": 2.5},
        {"step": 5, "train_loss": 1.5},
        {"step": 5, "validation_loss": 1.7, "wer_normalized": 0.3},
    ]


def test_the_command_trains_the_same(tmp_path) -> None:
    given = ["--data_dir", "my talks", "--language", "fr", "--learning_rate", "1e-05", "--lora_rank", "8"]
    given += ["--num_train_epochs", "3.0", "--report_to", "tensorboard,wandb"]
    given += ["--other_dir", "/my news:fr", "--other_dir", "/songs"]
    first = parse_arguments([*given, "--output_dir", str(tmp_path / "run")])
    assert first.evaluation.other_dir == ["/my news:fr", "/songs"]
    words = shlex.split(describe_command(first))
    assert words[:3] == ["accelerate", "launch", "train.py"]
    assert "--learning_rate 1e-05" in " ".join(words)
    again = parse_arguments([*words[3:], "--output_dir", str(tmp_path / "again")])
    assert again[:5] == first[:5]
    assert again.training.num_train_epochs == 3.0
    assert again.training.report_to == first.training.report_to


def test_the_command_of_a_platforms_job_asks_for_a_folder(tmp_path) -> None:
    given = ["--manifest_file", "m.json", "--backend_base_url", "https://x.example", "--user_id", "u"]
    command = describe_command(parse_arguments([*given, "--job_id", "j", "--output_dir", str(tmp_path)]))
    assert "--data_dir FOLDER" in command
    assert "x.example" not in command
