"""Real weights and real speech for the integration tests, built once for each user of the machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]

BuildAsset = Callable[..., Path]


@pytest.fixture(scope="session")
def asset_cache_dir() -> Path:
    """Folder that outlives the tests: `WHISPERTRAIN_TEST_CACHE`, or one in the user's own cache."""
    folder = Path(os.environ.get("WHISPERTRAIN_TEST_CACHE", "~/.cache/whispertrain")).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def build_asset(asset_cache_dir: Path) -> BuildAsset:
    """Runs one of the demo's scripts for a folder; the test is skipped where its packages cannot be had."""

    def build(script: str, folder: str, *arguments: str) -> Path:
        output_dir = asset_cache_dir / folder
        command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
        command += ["--output_dir", str(output_dir), "--cache_dir", str(asset_cache_dir / "packages")]
        with FileLock(asset_cache_dir / "lock"):
            result = subprocess.run(command, check=False, capture_output=True, text=True)
        if "could not be downloaded" in result.stderr:
            pytest.skip(result.stderr.strip().splitlines()[-1])
        assert result.returncode == 0, result.stderr
        return output_dir

    return build


@pytest.fixture(scope="session")
def base_model_dir(build_asset: BuildAsset) -> Path:
    """OpenAI's multilingual base checkpoint (72.6 M parameters)."""
    return build_asset("demo_model.py", "models/base", "--name", "base")


@pytest.fixture(scope="session")
def tiny_en_model_dir(build_asset: BuildAsset) -> Path:
    """OpenAI's English-only tiny checkpoint (37.8 M parameters)."""
    return build_asset("demo_model.py", "models/tiny.en", "--name", "tiny.en")


@pytest.fixture(scope="session")
def corpus_fr_dir(build_asset: BuildAsset) -> Path:
    """Half an hour of French recordings with true captions."""
    return build_asset("demo_corpus.py", "corpus/fr", "--language", "fr")


@pytest.fixture(scope="session")
def corpus_en_dir(build_asset: BuildAsset) -> Path:
    """Half an hour of English recordings with true captions."""
    return build_asset("demo_corpus.py", "corpus/en", "--language", "en")
