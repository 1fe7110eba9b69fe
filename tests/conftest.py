"""What tests share: built once in a session, by whichever pytest worker needs it first, and never changed.

Whoever wants to change a shared folder copies it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from control_plane import ControlPlane
from filelock import FileLock
from warm_parent import SOCKET_VARIABLE, release_parent
from workers import WorkerProcess

ROOT = Path(__file__).resolve().parents[1]

# Before torch is imported anywhere: two threads that wait for one another on a busy core are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BuildAsset = Callable[..., Path]
BuildShared = Callable[[str, Callable[[Path], object]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="draws the moments of the tests of chaos")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the place of the warm parent of all workers; it starts when it is wanted.

    Properties are tried with the same examples each time, unless `--hypothesis-seed` asks for others.
    """
    hypothesis.settings.register_profile("repeatable", derandomize=True)
    if config.getoption("hypothesis_seed") is None:
        hypothesis.settings.load_profile("repeatable")
    if not hasattr(config, "workerinput"):
        os.environ[SOCKET_VARIABLE] = tempfile.mkdtemp(prefix="warm-parent-") + "/socket"


def pytest_unconfigure(config: pytest.Config) -> None:
    release_parent()
    if not hasattr(config, "workerinput"):
        shutil.rmtree(Path(os.environ.pop(SOCKET_VARIABLE)).parent, ignore_errors=True)


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """Of what the tests of chaos draw."""
    return int(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
def build_shared(tmp_path_factory: pytest.TempPathFactory) -> BuildShared:
    """Runs a function once in this session for a folder that all workers share."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def build(name: str, make: Callable[[Path], object]) -> Path:
        folder, part = root / "shared" / name, root / "shared" / f"{name}.part"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(root / "shared" / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)  # of an attempt that failed
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return build


@pytest.fixture(scope="session")
def tiny_dir(build_shared: BuildShared) -> Path:
    """A tiny random checkpoint, as `build_tiny_whisper` makes it by default."""
    from recipe.model.tiny import build_tiny_whisper  # noqa: PLC0415 - torch takes seconds, and few need it

    return build_shared("models", lambda folder: build_tiny_whisper(folder / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def tones_dir(build_shared: BuildShared) -> Path:
    """A recording of 26 cues: 7 windows, so that the second update of four has one that only fills up."""
    from training_runs import write_recording  # noqa: PLC0415 - as above

    return build_shared("tones", lambda folder: write_recording(folder / "tones", num_cues=26))


@pytest.fixture(scope="session")
def asset_cache_dir() -> Path:
    """Folder that outlives the tests: `WHISPERTRAIN_TEST_CACHE`, or one in the user's own cache."""
    folder = Path(os.environ.get("WHISPERTRAIN_TEST_CACHE", "~/.cache/whispertrain")).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def build_asset(asset_cache_dir: Path) -> BuildAsset:
    """Runs one of the demo's builders for a folder; the test is skipped where its packages cannot be had."""

    def build(kind: str, name: str) -> Path:
        output_dir = asset_cache_dir / {"model": "models", "corpus": "corpus"}[kind] / name
        command = [sys.executable, "-m", f"scripts.demo_kit.{kind}", "--name", name]
        command += ["--output_dir", str(output_dir), "--cache_dir", str(asset_cache_dir / "packages")]
        with FileLock(asset_cache_dir / "lock"):
            result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if "could not be downloaded" in result.stderr:
            pytest.skip(result.stderr.strip().splitlines()[-1])
        assert result.returncode == 0, result.stderr
        return output_dir

    return build


@pytest.fixture(scope="session")
def asset(build_shared: BuildShared, build_asset: BuildAsset) -> BuildAsset:
    """The folder of a builder that has run in this session."""

    def find(kind: str, name: str) -> Path:
        done = build_shared(
            f"{kind}-{name}", lambda done: (done / "path").write_text(str(build_asset(kind, name)))
        )
        return Path((done / "path").read_text())

    return find


@pytest.fixture(scope="session")
def base_model_dir(asset: BuildAsset) -> Path:
    """OpenAI's multilingual base checkpoint (72.6 M parameters)."""
    return asset("model", "base")


@pytest.fixture(scope="session")
def tiny_en_model_dir(asset: BuildAsset) -> Path:
    """OpenAI's English-only tiny checkpoint (37.8 M parameters)."""
    return asset("model", "tiny.en")


@pytest.fixture(scope="session")
def corpus_fr_dir(asset: BuildAsset) -> Path:
    """Half an hour of French recordings with true captions."""
    return asset("corpus", "fr")


@pytest.fixture(scope="session")
def corpus_en_dir(asset: BuildAsset) -> Path:
    """Half an hour of English recordings with true captions."""
    return asset("corpus", "en")


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """RunPod's and the platform's side of a worker."""
    plane = ControlPlane()
    yield plane
    plane.close()


@pytest.fixture
def start_worker(tmp_path: Path, plane: ControlPlane) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker below the plane, by the behaviour of its trainings; it ends with the test."""
    workers: list[WorkerProcess] = []

    def start(behaviour: str, *arguments: str, **environment: str) -> WorkerProcess:
        workers.append(WorkerProcess(tmp_path, behaviour, plane.environment() | environment, *arguments))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()
