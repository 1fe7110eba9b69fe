"""The command that trains, by the GPUs at hand; what the end of a log tells."""

from pathlib import Path

import pytest
import yaml

from recipe.run.redaction import Redactor
from recipe.worker.process import REPOSITORY_DIR, LogEcho, build_train_command, count_gpus


@pytest.mark.parametrize(
    ("num_installed", "visible", "expected"),
    [
        pytest.param(0, None, 0, id="no GPU"),
        pytest.param(4, None, 4, id="all"),
        pytest.param(4, "2,3", 2, id="two of them"),
        pytest.param(4, "", 0, id="hidden"),
        pytest.param(4, "-1", 0, id="hidden by number"),
        pytest.param(4, "0,-1,2", 1, id="an invalid entry ends the list"),
        pytest.param(2, "GPU-8932f937-d72c, MIG-1c22", 2, id="by name"),
        pytest.param(1, "0,1,2", 1, id="more than there are"),
    ],
)
def test_gpus_are_counted_as_cuda_sees_them(num_installed: int, visible: str | None, expected: int) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert count_gpus(environment, lambda: [object()] * num_installed) == expected


@pytest.mark.parametrize(
    ("num_gpus", "config", "flags"),
    [(0, "cpu", []), (1, "single_gpu", []), (2, "multi_gpu", ["--num_processes", "2"])],
)
def test_the_config_fits_the_gpus(num_gpus: int, config: str, flags: list[str]) -> None:
    command = build_train_command(Path("/run/arguments.json"), num_gpus)
    config_file = REPOSITORY_DIR / "accelerate_configs" / f"{config}.yaml"
    at = command.index("--config_file")
    assert command[at + 1 :] == [str(config_file), *flags, "train.py", "/run/arguments.json"]
    content = yaml.safe_load(config_file.read_text())
    assert content["use_cpu"] is (num_gpus == 0)
    assert content["distributed_type"] == ("MULTI_GPU" if num_gpus > 1 else "NO")


def test_a_worker_with_eight_gpus_trains_on_all_of_them() -> None:
    command = build_train_command(Path("arguments.json"), count_gpus({}, lambda: [object()] * 8))
    assert command[command.index("--num_processes") + 1] == "8"


LAUNCHER_ERROR = "subprocess.CalledProcessError: Command '['python', 'train.py']' "


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(
            "ValueError: odd\n" + LAUNCHER_ERROR + "returned 1.", "ValueError: odd", id="its own error"
        ),
        pytest.param(LAUNCHER_ERROR + "died with <Signals.SIGKILL: 9>.", "memory ran out", id="killed"),
        pytest.param("Signal 9 (SIGKILL) received by PID 12\n", "memory ran out", id="a rank was killed"),
        pytest.param("all is well\n", "", id="nothing"),
    ],
)
def test_the_end_of_the_log_explains_a_death(tmp_path: Path, log: str, expected: str) -> None:
    path = tmp_path / "train.log"
    echo = LogEcho(path, Redactor([]))
    path.write_text(log)
    echo.finish()
    assert expected in echo.explain_death()
    assert bool(expected) == bool(echo.explain_death())


def test_the_echo_repeats_whole_lines_once_and_without_secrets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "train.log"
    path.write_text("an earlier attempt\n")
    echo = LogEcho(path, Redactor(["s3cret"]))
    with caplog.at_level("INFO"):
        for text in ("first\nsec", "ond s3cr", "et\nlast"):
            with path.open("a") as log:
                log.write(text)
            echo.echo()
        echo.finish()
    assert caplog.messages == ["first", "second [redacted]", "last"]
    assert path.read_text() == "an earlier attempt\nfirst\nsecond [redacted]\nlast"


def test_a_progress_bar_is_shown_once_as_it_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "train.log"
    echo = LogEcho(path, Redactor([]))
    with caplog.at_level("INFO"):
        for text in ("\r 0%\x1b[A", "\r50%", "\r100%\nnext", "\n"):
            with path.open("a", newline="") as log:
                log.write(text)
            echo.echo()
    assert caplog.messages == ["100%", "next"]
