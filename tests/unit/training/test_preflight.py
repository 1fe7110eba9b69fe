"""A run that cannot work on this machine is refused before a model loads, with what to do instead."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from recipe.arguments import AUDIO_AUGMENTATION
from recipe.errors import JobError
from recipe.run.folder import RunFolder
from recipe.training.arguments import Arguments, parse_arguments
from recipe.training.preflight import check_run, find_machine_problems

Parse = Callable[..., Arguments]


@pytest.fixture
def parse(tmp_path) -> Parse:
    def parse(*extra: str) -> Arguments:
        return parse_arguments(
            ["--self_test", "true", "--output_dir", str(tmp_path), "--use_cpu", "true", *extra]
        )

    return parse


@pytest.fixture
def check(parse) -> Callable[..., None]:
    def check(*extra: str) -> None:
        arguments = parse(*extra)
        check_run(arguments, RunFolder(Path(arguments.training.output_dir)))

    return check


def test_a_run_that_can_work_is_not_refused_and_the_optimizer_is_fused_adamw(parse, check):
    assert parse().training.optim == "adamw_torch_fused"
    check()


@pytest.mark.parametrize(
    ("optim", "library"),
    [("adamw_bnb_8bit", "bitsandbytes"), ("adamw_torch_8bit", "torchao"), ("lomo", "lomo_optim")],
)
def test_an_optimizer_without_its_library_is_refused(check, optim: str, library: str):
    if importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(
        JobError, match=rf"optim: {optim} cannot work here .*{library}.*adamw_torch_fused can"
    ):
        check("--optim", optim)


def test_an_optimizer_that_pages_to_main_memory_needs_a_gpu(check):
    with pytest.raises(JobError, match="paged_adamw_8bit pages between GPU and main memory"):
        check("--optim", "paged_adamw_8bit")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of the compiler's own
def test_compiling_without_a_compiler_is_refused(check, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        JobError, match=r"torch_compile cannot work here \(.*compiler.*install a C\+\+ compiler"
    ):
        check("--torch_compile", "true")


def test_an_unknown_compiler_is_refused(check):
    with pytest.raises(JobError, match=r"torch_compile cannot work here .*no_such"):
        check("--torch_compile_backend", "no_such")


def test_an_unknown_export_is_refused(check):
    check("--export", "pt,ct2")
    with pytest.raises(JobError, match="export: expected ct2, ggml, pt joined by commas, found 'onnx'"):
        check("--export", "ct2,onnx")


@pytest.mark.parametrize("option", [("--lora_alpha", "16"), ("--lora_dora", "True")])
def test_options_of_adapters_alone_are_refused(check, option):
    with pytest.raises(JobError, match=f"{option[0][2:]} needs a lora_rank over 0"):
        check(*option)


@pytest.mark.parametrize("name", AUDIO_AUGMENTATION)
def test_kept_states_of_a_frozen_encoder_exclude_altered_audio(check, name: str):
    check("--freeze_encoder", "True", "--keep_encoder_states", "False", f"--{name}", "0.5")
    check(f"--{name}", "0.5")
    with pytest.raises(JobError, match=rf"{name} alters the audio anew .* set {name} to 0, or"):
        check("--freeze_encoder", "True", f"--{name}", "0.5")


ENGINES = {
    "FSDP": {"FSDP_VERSION": "2", "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"},
    "DeepSpeed": {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"},
}


@pytest.mark.parametrize("engine", ENGINES)
def test_adapters_and_a_compiler_on_a_sharded_model_are_refused(parse, monkeypatch, engine: str):
    plain, adapted = parse(), parse("--lora_rank", "4")
    for name, value in {f"ACCELERATE_USE_{engine.upper()}": "true", **ENGINES[engine]}.items():
        monkeypatch.setenv(name, value)
    assert find_machine_problems(plain) == []
    [problem] = find_machine_problems(adapted)
    assert problem.startswith(f"lora_rank does not work with {engine}")
    plain.training.torch_compile = True
    [problem] = find_machine_problems(plain)
    assert problem.startswith(f"torch_compile does not work with {engine}")


def test_bounds_hold_for_adapters(check):
    with pytest.raises(JobError, match="lora_rank"):
        check("--lora_rank", "-1")


def test_a_destination_of_no_known_form_is_refused(check):
    with pytest.raises(JobError, match="ftp"):
        check("--publish_to", "ftp://x/y")
