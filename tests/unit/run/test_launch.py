"""The command that trains, by the GPUs at hand; what a launch's config may ask."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recipe.run.launch import (
    REPOSITORY_DIR,
    build_train_command,
    count_gpus,
    engine_name,
    find_engine_problems,
)


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
    [(0, "cpu", ["--quiet"]), (1, "single_gpu", ["--quiet"]), (2, "multi_gpu", ["--num_processes", "2"])],
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


FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}


def test_a_checkpoint_can_tell_which_engine_wrote_it() -> None:
    assert [engine_name(environment) for environment in ({}, FSDP, DEEPSPEED)] == [
        "plain",
        "FSDP",
        "DeepSpeed",
    ]


@pytest.mark.parametrize("environment", [{}, FSDP, DEEPSPEED], ids=["plain", "FSDP", "DeepSpeed"])
def test_the_settings_of_our_configs_are_fine(environment: dict[str, str]) -> None:
    assert find_engine_problems(environment) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param(FSDP | {"FSDP_VERSION": "1"}, "fsdp_version must be 2", id="FSDP 1"),
        pytest.param(
            FSDP | {"FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}, "must be SHARDED_STATE_DICT", id="one file"
        ),
        pytest.param(
            FSDP | {"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, "loading must be false", id="empty models"
        ),
        pytest.param(
            FSDP | {"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "checkpointing must be false", id="recomputed"
        ),
        pytest.param(
            DEEPSPEED | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "zero_stage must be 1 or 2", id="ZeRO-3"
        ),
    ],
)
def test_a_setting_that_cannot_work_is_named(environment: dict[str, str], expected: str) -> None:
    (problem,) = find_engine_problems(environment)
    assert expected in problem


_CHILD = """
import os, sys, time
from recipe.run.launch import die_with_parent
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
die_with_parent(parent=int(sys.argv[1]))
print("it lives on")
"""
_PARENT = f"""
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", {_CHILD!r}, str(os.getpid())])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_a_process_whose_parent_ended_before_it_could_ask_for_its_death_ends_too() -> None:
    output = subprocess.run([sys.executable, "-c", _PARENT], check=True, capture_output=True, timeout=60)
    assert output.stdout + output.stderr == b""
