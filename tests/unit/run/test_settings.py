"""The operator's environment."""

import re
from pathlib import Path

import pytest

from recipe.errors import RecipeError
from recipe.run.launch import REPOSITORY_DIR
from recipe.run.settings import VARIABLES, OperatorSettings


def test_an_empty_environment_means_the_defaults(tmp_path: Path) -> None:
    settings = OperatorSettings.from_environment({}, volume_dir=tmp_path)
    assert settings.runs_dir == Path("runs").resolve(), "a folder that is no mount is no volume"
    assert settings.models_dir is settings.other_dir is settings.publish_dir is settings.volume_dir is None
    assert settings.publish_hub_owners == settings.publish_buckets == ()
    assert not settings.is_private_backend_allowed
    assert (settings.grace_seconds, settings.flush_seconds) == (60.0, 30.0)


def test_runs_are_kept_on_a_mounted_volume() -> None:
    settings = OperatorSettings.from_environment({}, volume_dir=Path("/proc"))  # a mount on every Linux
    assert settings.runs_dir == Path("/proc/whispertrain/runs")
    assert settings.delivery_dirs == (Path("/proc"),)


def test_every_variable_counts(tmp_path: Path) -> None:
    names = [f"WHISPERTRAIN_{name}_DIR" for name in ("RUNS", "MODELS", "OTHER", "PUBLISH")]
    environment = {name: str(tmp_path / name) for name in names} | {
        "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND": "1",
        "WHISPERTRAIN_GRACE_SECONDS": "5",
        "WHISPERTRAIN_FLUSH_SECONDS": "0.5",
    }
    settings = OperatorSettings.from_environment(environment)
    folders = [settings.runs_dir, settings.models_dir, settings.other_dir, settings.publish_dir]
    assert folders == [tmp_path / name for name in names]
    assert settings.is_private_backend_allowed
    assert (settings.grace_seconds, settings.flush_seconds) == (5.0, 0.5)


def test_lists_are_read_with_commas() -> None:
    environment = {
        "WHISPERTRAIN_PUBLISH_HUB_OWNERS": " acme, my-team ,",
        "WHISPERTRAIN_PUBLISH_BUCKETS": "models,shared/whisper/",
    }
    settings = OperatorSettings.from_environment(environment)
    assert settings.publish_hub_owners == ("acme", "my-team")
    assert settings.publish_buckets == ("models", "shared/whisper")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WHISPERTRAIN_PUBLISH_HUB_OWNERS", "hub:acme"),
        ("WHISPERTRAIN_PUBLISH_HUB_OWNERS", "acme/model"),
        ("WHISPERTRAIN_PUBLISH_HUB_OWNERS", "*"),
        ("WHISPERTRAIN_PUBLISH_BUCKETS", "models, s3://shared"),
        ("WHISPERTRAIN_PUBLISH_BUCKETS", "shared//x"),
    ],
)
def test_a_list_that_would_match_nothing_is_refused(name: str, text: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} holds .* expected a comma-separated list"):
        OperatorSettings.from_environment({name: text})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("WHISPERTRAIN_RUN_DIR", "/runs", "did you mean WHISPERTRAIN_RUNS_DIR?"),
        ("WHISPERTRAIN_PUBLISH_HUB_OWNER", "acme", "did you mean WHISPERTRAIN_PUBLISH_HUB_OWNERS?"),
        ("WHISPERTRAIN_ALLOW_PRIVATE_BACKEND", "true", "expected 1 to allow it, or 0"),
        ("WHISPERTRAIN_RUNS_DIR", "~nobody-of-this-name/runs", "leads nowhere"),
    ],
)
def test_a_slip_is_not_taken_for_the_default(name: str, text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=f"^{name} is .*{re.escape(problem)}"):
        OperatorSettings.from_environment({name: text})


def test_each_variable_that_is_told_to_operators_is_known() -> None:
    page = (REPOSITORY_DIR / "docs" / "runpod.md").read_text(encoding="utf-8")
    assert set(re.findall(r"WHISPERTRAIN_[A-Z_]+", page)) == set(VARIABLES)
    OperatorSettings.from_environment({"WHISPERTRAIN_TEST_CACHE": "anything"})


def test_a_home_folder_is_one() -> None:
    settings = OperatorSettings.from_environment({"WHISPERTRAIN_RUNS_DIR": "~/runs"})
    assert settings.runs_dir == (Path.home() / "runs").resolve()


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "3601"])
def test_a_time_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="WHISPERTRAIN_GRACE_SECONDS"):
        OperatorSettings.from_environment({"WHISPERTRAIN_GRACE_SECONDS": text})
