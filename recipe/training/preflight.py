"""What this machine cannot do of what a run asks, tried before a model is loaded."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import gelu
from transformers import Seq2SeqTrainingArguments, Trainer
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    get_available_reporting_integrations,
)
from transformers.training_args import OptimizerNames

from recipe.arguments import describe_problems
from recipe.errors import JobError
from recipe.publish.delivery import check_delivery, default_destination
from recipe.publish.destination import find_destination_problems
from recipe.run.folder import RunFolder
from recipe.run.glossary import read_glossary
from recipe.run.launch import find_engine_problems, uses_deepspeed, uses_fsdp
from recipe.training.arguments import Arguments, check_arguments


def check_run(arguments: Arguments, folder: RunFolder) -> None:
    """Refuse what cannot work: values, rules between them, this machine, the destination of the model.

    Raises:
        JobError: with all problems of the first check that fails: bounds and rules, the glossary, destination
            or machine.
        PublishError: if the model could not be delivered.
    """
    check_arguments(arguments)
    if arguments.data.glossary:
        read_glossary(Path(arguments.data.glossary))
    publish_to = arguments.publish.publish_to
    problems = find_destination_problems(publish_to, folder) or find_machine_problems(arguments)
    if problems:
        raise JobError(describe_problems(problems))
    default_dir, _ = default_destination(folder.path)
    check_delivery(publish_to, default_dir=default_dir)


def find_machine_problems(arguments: Arguments) -> list[str]:
    """One sentence for each option that would do nothing or fail on this machine."""
    model, training = arguments.model, arguments.training
    optim = OptimizerNames(training.optim).value
    engines = ["FSDP"] * uses_fsdp() + ["DeepSpeed"] * uses_deepspeed()
    rules = [
        (
            not (model.lora_rank and engines),
            f"lora_rank does not work with {' and '.join(engines)}; start it with multi_gpu.yaml",
        ),
        (
            not (training.torch_compile and engines),
            f"torch_compile does not work with {' and '.join(engines)}; start it with multi_gpu.yaml",
        ),
        (
            "paged" not in optim or training.device.type == "cuda",
            f"optim: {optim} pages between GPU and main memory, and there is no GPU",
        ),
    ]
    problems = [problem for is_met, problem in rules if not is_met]
    problems += find_engine_problems() + _find_tracker_problems(training)
    return problems or [problem for problem in (_try_optimizer(training), _try_compiler(training)) if problem]


def _find_tracker_problems(training: Seq2SeqTrainingArguments) -> list[str]:
    """Why a tracker named in `report_to` cannot be used: unknown, or its package is not installed."""
    trackers = training.report_to
    assert isinstance(trackers, list), "Trainer makes it one"
    problems = []
    for tracker in trackers:
        if tracker not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            problems.append(f"report_to: {tracker} is no tracker; expected some of {known}")
        elif tracker not in get_available_reporting_integrations():
            problems.append(
                f"report_to: the package of {tracker} is not installed; install it or leave it out"
            )
    return problems


def _try_optimizer(training: Seq2SeqTrainingArguments) -> str:
    """Why a step on one weight fails, as of a library that is missing or cannot use the device; or ""."""
    # Any smaller, and optimizers with 8 bits would keep 32.
    weight = nn.Parameter(torch.ones(64, 128, device=training.device))
    weight.grad = torch.ones_like(weight)
    try:
        optimizer, options = Trainer.get_optimizer_cls_and_kwargs(training)
        # The rate may be left to the size of the model, which is not known yet.
        optimizer([weight], **options | {"lr": training.learning_rate or 1e-5}).step()
    except Exception as error:  # noqa: BLE001 - whatever a library raises, it cannot be used
        optim = OptimizerNames(training.optim).value
        return f"optim: {optim} cannot work here ({_first_line(error)}); adamw_torch_fused can"
    return ""


def _try_compiler(training: Seq2SeqTrainingArguments) -> str:
    """Why a small function cannot be compiled, as where there is no C++ compiler; or ""."""
    if not training.torch_compile:
        return ""
    backend, mode = training.torch_compile_backend, training.torch_compile_mode
    assert backend, "Trainer fills it in"
    try:
        torch.compile(gelu, backend=backend, mode=mode)(torch.ones(64, device=training.device))
    except Exception as error:  # noqa: BLE001 - whatever the compiler raises, it cannot be used
        return (
            f"torch_compile cannot work here ({_first_line(error)}); install a C++ compiler such as g++, or "
            "leave it out"
        )
    return ""


def _first_line(error: Exception) -> str:
    cause = getattr(error, "inner_exception", error)  # torch.compile's own says only that a backend failed
    return str(cause).partition("\n")[0].rstrip(". ")
