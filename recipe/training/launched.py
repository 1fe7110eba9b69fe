"""What `accelerate launch` tells the processes that it starts: the engine, and its settings."""

import os
from collections.abc import Mapping


def uses_fsdp(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether weights are shared out among the processes."""
    return environment.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def uses_deepspeed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether DeepSpeed trains."""
    return environment.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def engine_name(environment: Mapping[str, str] = os.environ) -> str:
    """The engine by name: each writes its checkpoints in a form of its own."""
    if uses_fsdp(environment):
        return "FSDP"
    return "DeepSpeed" if uses_deepspeed(environment) else "plain"


def find_engine_problems(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A sentence for each setting of the launch's config that this recipe cannot train with."""
    rules: list[tuple[bool, str]] = []
    if uses_fsdp(environment):
        rules = [
            (
                environment.get("FSDP_VERSION", "1") == "2",
                "fsdp_version must be 2: version 1 changes the names and the grouping of weights",
            ),
            (
                environment.get("FSDP_STATE_DICT_TYPE") == "FULL_STATE_DICT",
                "fsdp_state_dict_type must be FULL_STATE_DICT: the best checkpoint's weights are published",
            ),
            (
                environment.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "false").lower() == "false",
                "fsdp_cpu_ram_efficient_loading must be false: every process evaluates the base model",
            ),
            (
                environment.get("FSDP_ACTIVATION_CHECKPOINTING", "false").lower() == "false",
                "fsdp_activation_checkpointing must be false: use --activation_checkpointing True",
            ),
        ]
    elif uses_deepspeed(environment):
        rules = [
            (
                environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") in {"1", "2"},
                "zero_stage must be 1 or 2: to share out weights too, take accelerate_configs/fsdp.yaml",
            ),
        ]
    return [problem for is_met, problem in rules if not is_met]
