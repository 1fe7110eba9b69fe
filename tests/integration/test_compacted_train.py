"""scripts/prepare.py makes a compacted dataset; training from it ends with the weights of the recordings."""

import subprocess
import sys
from pathlib import Path

from training_runs import REPOSITORY, TrainingRun, clean_environment

from recipe.run.files import hash_file


def test_a_compacted_dataset_trains_the_weights_of_its_recordings(tmp_path, tiny_dir: Path, tones_dir: Path):
    model = {"model_name_or_path": tiny_dir, "language": "en"}
    flags = [f"--{name}={value}" for name, value in model.items()]
    flags += [f"--data_dir={tones_dir}", f"--output_dir={tmp_path / 'prepared'}"]
    flags += [f"--compacted_dir={tmp_path / 'dataset'}", "--remove_shards=True", "--num_workers=1"]
    command = [sys.executable, str(REPOSITORY / "scripts" / "prepare.py"), *flags]
    subprocess.run(command, check=True, env=clean_environment(), timeout=300)
    assert not [*(tmp_path / "prepared" / "prepared" / "shards").glob("*.tar")]
    options = {**model, "max_steps": 2, "long_form": "off", "publish_if_worse": True}
    runs = [
        TrainingRun(tmp_path / name, {**source, **options}).finish()
        for name, source in {
            "recordings": {"data_dir": tones_dir},
            "dataset": {"prepared_dir": tmp_path / "dataset"},
        }.items()
    ]
    weights = [hash_file(run.folder / "model" / "model.safetensors") for run in runs]
    assert weights[0] == weights[1]
    reports = [run.read("prepared/dataset_report.json") for run in runs]
    assert reports[0]["recordings"] == reports[1]["recordings"]
