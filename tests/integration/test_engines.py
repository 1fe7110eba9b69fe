"""Each config of `accelerate_configs/`, at two processes without a GPU, trains what one process trains."""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from training_runs import TrainingRun, assert_same_curve, launch_on_cpu, send, write_recording

from recipe.training.checkpoints import list_checkpoints

Make = Callable[..., TrainingRun]

WITHOUT_ITS_PACKAGE = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed"
)


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by name, config, number of processes and options; two of its six recordings are held out."""
    root = tmp_path_factory.mktemp("engines")
    (root / "data").mkdir()
    for number in range(6):
        write_recording(root / "data" / f"tones-{number}", 6, seed=number)
    return partial(make_run, root, root / "data", tiny_dir)


def make_run(
    root: Path,
    data_dir: Path,
    model_dir: Path,
    name: str,
    config: str,
    num_processes: int = 2,
    **options: object,
) -> TrainingRun:
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "num_train_epochs": 2,
        "per_device_train_batch_size": 2 // num_processes,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "max_grad_norm": 0.5,  # below the norms that come: clipping shows a wrong scale
        "timestamp_fraction": 0.5,
        "prompt_fraction": 0.5,
        "eval_fraction": 0.3,
        "publish_if_worse": True,  # chance made the model
    }
    launcher = launch_on_cpu(config, root, num_processes=num_processes)
    return TrainingRun(root / "runs" / name, defaults | options, launcher)


@pytest.fixture(scope="module")
def one_process(make: Make) -> TrainingRun:
    return make("one", "single_gpu", num_processes=1).finish()


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    ["multi_gpu", "fsdp", pytest.param("deepspeed_zero2", marks=WITHOUT_ITS_PACKAGE)],
)
def test_an_engine_trains_measures_and_publishes_as_one_process_does(
    config: str, make: Make, one_process: TrainingRun
) -> None:
    run = make(config, config).finish()
    assert_same_curve(run, one_process)
    assert run.read("report.json")["windows"] == one_process.read("report.json")["windows"]
    fingerprint = run.read(f"{list_checkpoints(run.folder)[0].name}/complete.json")["fingerprint"]
    assert fingerprint["num_processes"] == 2
    weights, same_weights = load(run.weights), load(one_process.weights)
    assert weights.keys() == same_weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, same_weights[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["fsdp", pytest.param("deepspeed_zero2", marks=WITHOUT_ITS_PACKAGE)])
def test_an_engine_that_was_killed_goes_on_to_the_same_weights(config: str, make: Make) -> None:
    options = {"num_train_epochs": 4, "save_strategy": "steps", "save_steps": 1, "eval_fraction": 0.0}
    quiet = make(f"{config}-quiet", config, **options).finish()
    killed = make(f"{config}-killed", config, **options)
    killed.interrupt(send(9, after=3))
    assert killed.finish().weights == quiet.weights
    assert killed.curve == quiet.curve


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "bf16"),
    [
        ("fsdp", True),
        # Trainer takes bf16 on a CPU with use_cpu only, which would leave DeepSpeed out.
        pytest.param("deepspeed_zero2", False, marks=WITHOUT_ITS_PACKAGE),
    ],
)
def test_an_engine_accumulates_and_autocasts_as_plain_processes_do(
    config: str, bf16: bool, make: Make
) -> None:
    options = {"gradient_accumulation_steps": 2, "bf16": bf16, "eval_fraction": 0.0}
    plain = make(f"{config}-plain", "multi_gpu", **options).finish()
    run = make(f"{config}-accumulated", config, **options).finish()
    # bfloat16 rounds by up to 4e-3
    assert_same_curve(run, plain, tolerance=1e-3 if bf16 else 1e-5)
