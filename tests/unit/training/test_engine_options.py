"""Options that change how an update is computed leave what is computed alone."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainers import (
    StopAfterSave,
    assert_same,
    build_trainer,
    make_windows,
    resume,
    stopped,
    tiny_whisper,
    trained,
)
from torch.utils._python_dispatch import TorchDispatchMode

import recipe
from recipe.backend.events import Outbox
from recipe.training.callbacks import ProgressCallback
from recipe.training.progress import JobEta
from recipe.training.trainer import WhisperTrainer

ERRORS = {2: 3, 4: 5}
TORCH = str(Path(torch.__file__).parent)
RECIPE = str(Path(recipe.__file__).parent)

Build = Callable[..., WhisperTrainer]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    whisper = tiny_whisper(tmp_path_factory.mktemp("tiny"), d_model=64)
    windows = make_windows(whisper)

    def build(folder: Path, *, is_encoder_frozen: bool = False, **changes: Any) -> WhisperTrainer:
        trainer = build_trainer(whisper, windows, folder, **changes)
        if is_encoder_frozen:
            trainer.whole_model.freeze_encoder()
        return trainer

    return build


@pytest.mark.parametrize("is_encoder_frozen", [False, True], ids=["full", "frozen encoder"])
def test_recomputed_activations_change_nothing(build, tmp_path, is_encoder_frozen: bool):
    plain, recomputed = (
        trained(
            build(
                tmp_path / str(is_on),
                is_encoder_frozen=is_encoder_frozen,
                save_strategy="no",
                activation_checkpointing=is_on,
            )
        )
        for is_on in (False, True)
    )
    layers = [
        module for module in recomputed.model.modules() if getattr(module, "gradient_checkpointing", None)
    ]
    assert layers, "activations are recomputed at all"
    assert_same(plain, recomputed, tolerance=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of the compiler's own
def test_a_compiled_model_trains_and_resumes_like_one_that_is_not(build, tmp_path, backend: str):
    options = {"torch_compile": True, "torch_compile_backend": backend}
    plain = trained(build(tmp_path / "plain", errors_by_step=ERRORS))
    whole = trained(build(tmp_path / "whole", errors_by_step=ERRORS, **options))
    assert isinstance(whole.model_wrapped, torch._dynamo.OptimizedModule)
    # Adam turns the rounding of a gradient near 0 into a tenth of a step.
    assert_same(plain, whole, tolerance=1e-4)
    stopped(build(tmp_path / "resumed", errors_by_step=ERRORS, callbacks=(StopAfterSave(3),), **options))
    resumed = resume(build(tmp_path / "resumed", errors_by_step=ERRORS, **options))
    assert_same(resumed, whole)
    resumed.take_best_weights()
    assert list(resumed.whole_model.state_dict()) == list(plain.whole_model.state_dict())


def test_moments_of_eight_bits_survive_a_resume(build, tmp_path):
    pytest.importorskip("bitsandbytes", reason="the library of the 8-bit optimizer is not installed")
    whole = trained(build(tmp_path / "whole", optim="adamw_bnb_8bit"))
    moments = [state["state1"] for state in whole.optimizer.state.values()]
    assert torch.uint8 in {moment.dtype for moment in moments}
    stopped(build(tmp_path / "resumed", optim="adamw_bnb_8bit", callbacks=(StopAfterSave(3),)))
    assert_same(resume(build(tmp_path / "resumed", optim="adamw_bnb_8bit")), whole)


class ReadingsBack(TorchDispatchMode):
    """Notes which lines ask the device for a value: each time, Python waits for all its work."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            frames = [f for f in traceback.extract_stack()[:-1] if TORCH not in f.filename]
            self.lines.append(f"{frames[-1].filename}:{frames[-1].lineno}")
        return func(*args, **(kwargs or {}))


def test_between_two_logs_our_code_reads_nothing_back_from_the_device(build, tmp_path):
    settings = {"num_train_epochs": 1, "logging_steps": 100, "save_strategy": "no"}
    progress = ProgressCallback(Outbox(tmp_path / "events.sqlite", "job-1"), 1.0, JobEta())
    trainer = build(tmp_path / "run", callbacks=(progress,), **settings)
    with ReadingsBack() as readings:
        trainer.train()
    assert readings.lines, "reading back is noticed at all"
    assert not [line for line in readings.lines if line.startswith(RECIPE)]
