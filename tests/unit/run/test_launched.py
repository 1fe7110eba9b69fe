"""What a launch's config may ask of this recipe."""

import pytest

from recipe.run.launch import engine_name, find_engine_problems

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
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
            FSDP | {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, "must be FULL_STATE_DICT", id="shards"
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
