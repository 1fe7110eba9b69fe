"""The operator's environment."""

from pathlib import Path

import pytest

from recipe.errors import RecipeError
from recipe.run.settings import OperatorSettings


def test_an_empty_environment_means_the_defaults(tmp_path: Path) -> None:
    settings = OperatorSettings.from_environment({}, volume_dir=tmp_path)
    assert settings.runs_dir == Path("runs").resolve(), "a folder that is no mount is no volume"
    assert settings.models_dir is settings.publish_dir is settings.volume_dir is None
    assert not settings.is_private_backend_allowed
    assert (settings.grace_seconds, settings.flush_seconds) == (60.0, 30.0)


def test_runs_are_kept_on_a_mounted_volume() -> None:
    settings = OperatorSettings.from_environment({}, volume_dir=Path("/proc"))  # a mount on every Linux
    assert settings.runs_dir == Path("/proc/whispertrain/runs")
    assert settings.delivery_dirs == (Path("/proc/whispertrain/runs"), Path("/proc"))


def test_every_variable_counts(tmp_path: Path) -> None:
    names = ("WHISPERTRAIN_RUNS_DIR", "WHISPERTRAIN_MODELS_DIR", "WHISPERTRAIN_PUBLISH_DIR")
    environment = {name: str(tmp_path / name) for name in names} | {
        "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND": "1",
        "WHISPERTRAIN_GRACE_SECONDS": "5",
        "WHISPERTRAIN_FLUSH_SECONDS": "0.5",
    }
    settings = OperatorSettings.from_environment(environment)
    assert (settings.runs_dir, settings.models_dir, settings.publish_dir) == tuple(
        tmp_path / n for n in names
    )
    assert settings.is_private_backend_allowed
    assert (settings.grace_seconds, settings.flush_seconds) == (5.0, 0.5)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "3601"])
def test_a_time_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="WHISPERTRAIN_GRACE_SECONDS"):
        OperatorSettings.from_environment({"WHISPERTRAIN_GRACE_SECONDS": text})
