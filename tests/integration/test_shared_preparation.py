"""Processes that share a folder prepare its recordings together, whoever of them is killed."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from training_runs import REPOSITORY, clean_environment, write_recording
from voices import make_noise
from warm_parent import ForkedRun

from recipe.audio.decoding import encode_flac
from recipe.data.preparation import build_shards
from recipe.data.recording import PreparationSettings
from recipe.data.sources import list_recordings

NUM_WORKERS = 4
NUM_KILLS = 8


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 10 s to 6 min."""
    folder = tmp_path_factory.mktemp("data")
    for number, seconds in enumerate([360, 240, 120, 60, *[30] * 4, *[10] * 12]):
        write_recording(folder / f"talk-{number:02}", num_cues=2, seed=number)
        audio = next(path for path in folder.glob(f"talk-{number:02}.*") if path.suffix != ".vtt")
        audio.unlink()
        audio.with_suffix(".flac").write_bytes(encode_flac(make_noise(seconds)))
    return folder


class Crew:
    """Workers of a folder; one that is killed is started anew, as an array or a scheduler does it."""

    def __init__(self, command: list[str], log_dir: Path) -> None:
        self._command = command
        self._log_dir = log_dir
        self._processes = [self._start() for _ in range(NUM_WORKERS)]

    def _start(self) -> ForkedRun:
        log = self._log_dir / f"{len(list(self._log_dir.iterdir()))}.log"
        with log.open("wb") as output, log.with_suffix(".errors").open("wb") as errors:
            return ForkedRun(self._command, clean_environment(), output, errors)

    def kill(self, index: int) -> None:
        """Kill one at once, and start another."""
        self._processes[index].kill()
        self._processes[index].wait(60)
        self._processes[index] = self._start()

    def finish(self) -> list[int]:
        """The exit codes of those that are left."""
        return [process.wait(300) for process in self._processes]

    def end(self) -> None:
        """Kill all."""
        for process in self._processes:
            process.kill()

    def printed(self) -> list[str]:
        """The lines of all, those that were killed included."""
        return [line for log in self._log_dir.glob("*.log") for line in log.read_text().split()]

    def errors(self) -> str:
        """What all complained of."""
        return "\n".join(log.read_text() for log in self._log_dir.glob("*.errors"))


def test_every_recording_is_prepared_once_whoever_is_killed(
    data_dir: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    settings = PreparationSettings(
        tiny_dir / "tokenizer.json", empty_transcript="skip", no_speech_fraction=0.1
    )
    recordings = list_recordings(data_dir, "en")
    alone = build_shards(recordings, settings, tmp_path / "alone", num_workers=1)
    folder, logs = tmp_path / "shards", tmp_path / "logs"
    logs.mkdir()
    places = [str(data_dir), str(tiny_dir / "tokenizer.json"), str(folder)]
    chance = random.Random(14)
    crew = Crew(["tests/support/prepare_part.py", *places], logs)
    try:
        for _ in range(NUM_KILLS):
            time.sleep(chance.uniform(0.1, 0.8))
            crew.kill(chance.randrange(NUM_WORKERS))
        assert crew.finish() == [0] * NUM_WORKERS, crew.errors()
    finally:
        crew.end()
    assert Counter(crew.printed()) == {shard.path.stem: 1 for shard in alone}
    together = build_shards(recordings, settings, folder, num_workers=1)
    assert [shard.content_hash for shard in together] == [shard.content_hash for shard in alone]
    assert not [path for path in folder.iterdir() if ".damaged" in path.name]


def test_the_script_makes_what_train_finds(data_dir: Path, tiny_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--data_dir", str(data_dir), "--language", "en", "--model_name_or_path", str(tiny_dir)]
    options += ["--output_dir", str(run)]
    log = tmp_path / "log"
    for rank in range(2):
        array = ["--num_workers", "1", "--rank", str(rank), "--world", "2"]
        with log.open("wb") as output:
            code = ForkedRun(["scripts/prepare.py", *options, *array], clean_environment(), output).wait(300)
        assert code == 0, log.read_text()
        assert f"Worker {rank} of 2: 20 recordings" in log.read_text()
    shards = {path.name: path.stat().st_mtime_ns for path in (run / "prepared" / "shards").glob("*.arrow")}
    assert len(shards) == 20
    with log.open("wb") as output:
        code = ForkedRun(["train.py", *options, "--check_data", "True"], clean_environment(), output).wait(
            300
        )
    assert code == 0, log.read_text()
    after = {path.name: path.stat().st_mtime_ns for path in (run / "prepared" / "shards").glob("*.arrow")}
    assert after == shards


def test_a_worker_starts_without_torch(data_dir: Path, tiny_dir: Path, tmp_path: Path) -> None:
    script = "import sys; from scripts.prepare import main; main(); print('torch' in sys.modules)"
    options = ["--data_dir", str(data_dir), "--language", "en", "--model_name_or_path", str(tiny_dir)]
    options += ["--output_dir", str(tmp_path), "--num_workers", "1", "--retime", "off"]
    command = [sys.executable, "-c", script, *options]
    for _ in range(2):  # the second finds all done; where there is a sound to judge, the first needs torch
        ended = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True, env=clean_environment()
        )
    assert ended.stdout.split()[-1] == "False"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rank", "2", "--world", "2"], "rank: expected 0 to 1, one less than world, found 2"),
        (["--num_workers", "0"], "num_workers: expected 1 or more, found 0"),
        (["--no_speech_fraction", "2"], "no_speech_fraction: Input should be less than or equal to 1"),
    ],
)
def test_options_that_cannot_be_are_refused(
    data_dir: Path, tiny_dir: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    command = ["scripts/prepare.py", "--data_dir", str(data_dir), "--model_name_or_path", str(tiny_dir)]
    with (tmp_path / "log").open("wb") as log:
        run = ForkedRun([*command, "--output_dir", str(tmp_path / "run"), *options], clean_environment(), log)
        assert run.wait(120) == 1
    assert sentence in (tmp_path / "log").read_text()


def test_ray_makes_the_same_shards(data_dir: Path, tiny_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    settings = PreparationSettings(tiny_dir / "tokenizer.json", empty_transcript="skip")
    recordings = list_recordings(data_dir, "en")
    alone = build_shards(recordings, settings, tmp_path / "alone", num_workers=1)
    command = [sys.executable, "tests/support/prepare_on_ray.py"]
    ended = subprocess.run(
        [*command, str(data_dir), str(tiny_dir), str(tmp_path / "s")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[-1]) >= 1, "a worker of Ray was killed"
    together = build_shards(recordings, settings, tmp_path / "s", num_workers=1)
    assert [shard.content_hash for shard in together] == [shard.content_hash for shard in alone]
