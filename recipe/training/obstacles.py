"""What stands in the way of options that not every machine can do: tried out before a model is loaded."""

import torch
from torch import nn
from torch.nn.functional import gelu
from transformers import Seq2SeqTrainingArguments, Trainer
from transformers.training_args import OptimizerNames

from recipe.arguments import ModelArguments
from recipe.training.launched import uses_deepspeed, uses_fsdp


def find_obstacles(model: ModelArguments, training: Seq2SeqTrainingArguments) -> list[str]:
    """A sentence for each option that would do nothing or fail on this machine."""
    optim = OptimizerNames(training.optim).value
    engines = ["FSDP"] * uses_fsdp() + ["DeepSpeed"] * uses_deepspeed()
    rules = [
        (model.lora_rank > 0 or model.lora_alpha is None, "lora_alpha needs a lora_rank over 0"),
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
    return problems or [problem for problem in (_try_optimizer(training), _try_compiler(training)) if problem]


def _try_optimizer(training: Seq2SeqTrainingArguments) -> str:
    """Why a step on one weight fails, as of a library that is missing or cannot use the device; or ""."""
    # Any smaller, and optimizers with 8 bits would keep 32.
    weight = nn.Parameter(torch.ones(64, 128, device=training.device))
    weight.grad = torch.ones_like(weight)
    try:
        optimizer, options = Trainer.get_optimizer_cls_and_kwargs(training)
        optimizer([weight], **options).step()
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
