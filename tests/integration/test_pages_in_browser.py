"""Every page in a real browser, at three widths and in both themes: no error, no sideways scroll, for all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import THEMES, WIDTHS, find_faults, open_browser
from training_runs import TrainingRun, serve_backend, write_recording
from try_it_server import serve_try_it

pytestmark = pytest.mark.slow

PAGES = ("finished job", "failed job", "report", "dataset report", "try it")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def addresses(browser: Any, tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict]:
    """Of each page; all are made by a run."""
    root = tmp_path_factory.mktemp("pages")
    (root / "data").mkdir()
    for number in range(6):
        write_recording(root / "data" / f"tones-{number}", 6, seed=number)
    with serve_backend(root / "backend") as backend, serve_try_it(tiny_dir) as try_it:
        options = {
            "data_dir": root / "data",
            "model_name_or_path": tiny_dir,
            "language": "en",
            "num_train_epochs": 2,
            "learning_rate": 1e-3,
            "publish_if_worse": True,
            "backend_base_url": backend,
            "user_id": "u",
            "job_id": "finished",
            "project_id": "p",
        }
        run = TrainingRun(root / "run", options).finish()
        failure = {"status": "failed", "timestamp": "2026-01-31T12:00:00Z", "error": "No space is left."}
        answer = httpx.post(f"{backend}/api/training/progress/failed", json=failure, trust_env=False)
        assert answer.is_success
        yield {
            "finished job": f"{backend}/#job=finished",
            "failed job": f"{backend}/#job=failed",
            "report": (run.folder / "report.html").as_uri(),
            "dataset report": (run.folder / "prepared" / "dataset_report.html").as_uri(),
            "try it": str(try_it.base_url),
        }


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_everybody(
    page: str, width: int, theme: str, browser: Any, addresses: dict[str, str]
) -> None:
    assert find_faults(browser, addresses[page], width, theme) == []


def test_a_fault_is_found(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<body><h3>Title</h3><img src=none.png><button style='outline: none'></button>"
        "<p style='width: 900px; color: #ccc; background: #fff'>pale</p><script>nothing()</script>"
    )
    faults = "\n".join(find_faults(browser, (tmp_path / "bad.html").as_uri(), 390, "light"))
    for fault in ("nothing is not defined", "sideways: 9", "focus is not seen", "image-alt", "button-name"):
        assert fault in faults
    for fault in ("color-contrast", "html-has-lang", "landmark-one-main"):
        assert fault in faults
