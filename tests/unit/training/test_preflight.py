"""An option that this machine cannot do is refused before a model loads, with what to do instead."""

import importlib.util

import pytest

from recipe.arguments import ModelArguments
from recipe.errors import JobError
from recipe.training.arguments import Arguments, parse_arguments
from recipe.training.preflight import find_obstacles


@pytest.fixture
def parse(tmp_path):
    def parse(*extra: str) -> Arguments:
        return parse_arguments(
            ["--self_test", "true", "--output_dir", str(tmp_path), "--use_cpu", "true", *extra]
        )

    return parse


def test_the_optimizer_is_fused_adamw_unless_another_is_asked_for(parse):
    assert parse().training.optim == "adamw_torch_fused"


@pytest.mark.parametrize(
    ("optim", "library"),
    [("adamw_bnb_8bit", "bitsandbytes"), ("adamw_torch_8bit", "torchao"), ("lomo", "lomo_optim")],
)
def test_an_optimizer_without_its_library_is_refused(parse, optim: str, library: str):
    if importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(
        JobError, match=rf"optim: {optim} cannot work here .*{library}.*adamw_torch_fused can"
    ):
        parse("--optim", optim)


def test_an_optimizer_that_pages_to_main_memory_needs_a_gpu(parse):
    with pytest.raises(JobError, match="paged_adamw_8bit pages between GPU and main memory"):
        parse("--optim", "paged_adamw_8bit")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of the compiler's own
def test_compiling_without_a_compiler_is_refused(parse, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        JobError, match=r"torch_compile cannot work here \(.*compiler.*install a C\+\+ compiler"
    ):
        parse("--torch_compile", "true")


def test_an_unknown_compiler_is_refused(parse):
    with pytest.raises(JobError, match=r"torch_compile cannot work here .*no_such"):
        parse("--torch_compile_backend", "no_such")


def test_lora_alpha_alone_is_refused(parse):
    with pytest.raises(JobError, match="lora_alpha needs a lora_rank"):
        parse("--lora_alpha", "16")


@pytest.mark.parametrize("engine", ["FSDP", "DeepSpeed"])
def test_adapters_and_a_compiler_on_a_sharded_model_are_refused(parse, monkeypatch, engine: str):
    training = parse().training
    monkeypatch.setenv(f"ACCELERATE_USE_{engine.upper()}", "true")
    assert find_obstacles(ModelArguments(), training) == []
    [problem] = find_obstacles(ModelArguments(lora_rank=4), training)
    assert problem.startswith(f"lora_rank does not work with {engine}")
    training.torch_compile = True
    [problem] = find_obstacles(ModelArguments(), training)
    assert problem.startswith(f"torch_compile does not work with {engine}")


def test_bounds_hold_for_adapters(parse):
    with pytest.raises(JobError, match="lora_rank"):
        parse("--lora_rank", "-1")
