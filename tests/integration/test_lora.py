"""`train.py` with adapters: a plain Whisper comes out, the same one from any layout and after any kill."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file
from test_layouts import LAYOUTS, NUM_CUES, make_run
from training_runs import TrainingRun, make_site, send

from recipe.training.checkpoints import list_checkpoints

OPTIONS = {"lora_rank": 4, "lora_alpha": 8, "save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("lora"), NUM_CUES)


@pytest.fixture(scope="module")
def quiet(root: Path) -> TrainingRun:
    return make_run(root, "batch 4", **OPTIONS).finish()


def test_checkpoints_hold_adapters_and_the_model_has_them_merged(quiet: TrainingRun, root: Path) -> None:
    base, model = load_file(root / "tiny" / "model.safetensors"), load(quiet.weights)
    checkpoint = load_file(list_checkpoints(quiet.folder)[0] / "model.safetensors")
    assert any("lora_A" in name for name in checkpoint)
    assert base.keys() == model.keys()
    changed = {name for name in base if not torch.equal(base[name], model[name])}
    assert changed
    assert all(name.split(".")[-2].endswith(("_proj", "fc1", "fc2")) for name in changed)


def test_a_resume_with_another_rank_is_refused(quiet: TrainingRun) -> None:
    other = replace(quiet, options={**quiet.options, "lora_rank": 8})
    (quiet.folder / "result.json").unlink()
    assert other.attempt() == 1
    assert "lora_rank was 4 and is 8" in quiet.read("error.json")["error"]


@pytest.mark.slow
def test_a_run_that_was_killed_publishes_the_same_weights(quiet: TrainingRun, root: Path) -> None:
    run = replace(make_run(root, "batch 4", **OPTIONS), folder=root / "runs" / "killed")
    run.interrupt(send(9, after=2))
    assert run.finish().weights == quiet.weights


@pytest.mark.slow
@pytest.mark.parametrize("layout", [name for name in list(LAYOUTS)[1:] if "FSDP" not in name])  # is refused
def test_losses_norms_and_weights_agree(quiet: TrainingRun, root: Path, layout: str) -> None:
    run = make_run(root, layout, **OPTIONS).finish()
    assert len(run.curve) == 6
    for row, same_row in zip(run.curve, quiet.curve, strict=True):
        assert row == pytest.approx(same_row, rel=1e-5)
    torch.testing.assert_close(load(run.weights), load(quiet.weights), rtol=0, atol=1e-6)
