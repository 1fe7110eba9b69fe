"""The worker's image, built from the Dockerfile without a container engine, and containers of it.

Each step that writes files has a layer, the upper folder of an overlay, kept in a cache by what it is made
of, as engines do. The base is Debian of the same release with its own Python, in a virtual environment at
/usr/local, where the python images have theirs. Needs root, overlayfs and Debian's package servers.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from docker.utils.build import exclude_paths

from recipe.errors import RecipeError
from scripts.demo_kit.packages import unpack_debian_packages

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE_STEP = (
    "apt-get update -q && apt-get install -y -q --no-install-recommends ca-certificates "
    "python{version}-venv && apt-get clean && rm -rf /var/lib/apt/lists/* && "
    "python{version} -m venv /usr/local"
)
_DAYS_KEPT = 14

# Run by the first process of a new mount and PID namespace, which becomes the container's process 1.
_ENTER = """
set -e
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$ROOT"
cd "$ROOT"
mkdir -p proc dev
mount -t proc proc proc
mount -t tmpfs -o size=64k,mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
mount -t tmpfs -o size=64m tmpfs dev/shm
for path in $BOUND; do
    target=".${path##*:}"
    if [ -d "${path%%:*}" ]; then mkdir -p "$target"; else mkdir -p "${target%/*}"; touch "$target"; fi
    mount --bind "${path%%:*}" "$target"
    mount -o remount,bind,ro "$target"
done
exec chroot "$ROOT" /usr/bin/env --ignore-environment --chdir="$WORKDIR" "$@"
"""


class NoImageHereError(Exception):
    """This machine cannot build the image; the message says why."""


@dataclass(frozen=True)
class Image:
    """A root file system in layers, and how its containers start.

    Attributes:
        layers: Folders, the lowest first, each with the step that made it.
        environment: Of every process, by ENV.
        workdir: Of every process.
        command: What a container runs.
    """

    layers: tuple[tuple[str, Path], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    command: tuple[str, ...] = ()

    def describe_sizes(self) -> str:
        """A line for each layer with the MB that it adds."""
        sizes = []
        for step, layer in self.layers:
            used = subprocess.run(["du", "-sxm", layer], check=True, capture_output=True, text=True)
            sizes.append(f"{used.stdout.split()[0]:>6} MB  {step}")
        return "\n".join(sizes)


class Container:
    """A started image: its process 1, and what it writes.

    Args:
        image: What is started.
        folder: Receives what the container writes, in `files`, and its output, in `output`.
        command: Instead of the image's.
        environment: Beside the image's.
        bound: Paths of this machine that it may read, `HERE:THERE` or the same at both places.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        command: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        bound: tuple[str, ...] = (),
    ) -> None:
        self.files = folder / "files"
        self.output = folder / "output"
        for name in ("files", "work", "root"):
            (folder / name).mkdir(parents=True)
        variables = {"PATH": _PATH, "HOME": "/root", **image.environment, **(environment or {})}
        settings = {
            "LOWER": ":".join(str(layer) for _, layer in reversed(image.layers)),
            "UPPER": str(self.files),
            "WORK": str(folder / "work"),
            "ROOT": str(folder / "root"),
            "WORKDIR": image.workdir,
            "BOUND": " ".join(bound),
            "PATH": _PATH,
        }
        unshare = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        inside = [f"{name}={value}" for name, value in variables.items()] + list(command or image.command)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*unshare, "/bin/sh", "-c", _ENTER, "sh", *inside],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def family(self) -> list[psutil.Process]:
        """All its processes, process 1 first."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def terminate(self) -> None:
        """Send SIGTERM to process 1, as engines do."""
        os.kill(psutil.Process(self.process.pid).children()[0].pid, signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """End it if it runs; the kernel takes all its processes and mounts with process 1."""
        self.process.kill()
        self.process.wait()


def read_steps(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), arguments) for name, arguments in steps]


class ImageBuilder:
    """Builds the image of a Dockerfile.

    Args:
        context: The folder of the Dockerfile.
        cache_dir: Keeps the layers.
    """

    def __init__(self, context: Path, cache_dir: Path) -> None:
        self._context = context
        self._cache_dir = cache_dir.resolve()
        self._layers: list[tuple[str, Path]] = []
        self._environment: dict[str, str] = {}
        self._workdir = "/"
        self._command: tuple[str, ...] = ()
        self._key = hashlib.sha256((_ENTER + _BASE_STEP).encode())

    def build(self) -> Image:
        """The image.

        Raises:
            NoImageHereError: this machine cannot build it.
        """
        overlay = [
            "unshare",
            "--mount",
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            "lowerdir=/usr:/etc",
            "/mnt",
        ]
        tried = subprocess.run(overlay, check=False, capture_output=True, text=True)
        if tried.returncode != 0:
            raise NoImageHereError(f"only root may mount layers: {tried.stderr.strip()}")
        self._cache_dir.mkdir(parents=True, exist_ok=True)
        for instruction, arguments in read_steps(self._context / "Dockerfile"):
            self._key.update(f"{instruction} {arguments}\n".encode())
            # A KeyError is an instruction that this does not know: it must not be passed over.
            {
                "FROM": self._start_from,
                "ENV": self._set_environment,
                "WORKDIR": self._set_workdir,
                "COPY": self._copy,
                "RUN": self._run,
                "CMD": self._set_command,
            }[instruction](arguments)
        self._forget_old_layers()
        return Image(tuple(self._layers), dict(self._environment), self._workdir, self._command)

    def _start_from(self, name: str) -> None:
        match = re.fullmatch(r"python:(\d\.\d+)[\d.]*-slim-(\w+)", name)
        assert match, f"{name} is not an image of Python on Debian"
        version, release = match.groups()
        with self._layer(f"FROM {name} (debootstrap {release})") as layer:
            if layer:
                self._debootstrap(release, layer)
        with self._layer(f"FROM {name} (python{version})") as layer:
            if layer:
                self._run_in(layer, _BASE_STEP.format(version=version), {}, ())

    def _set_environment(self, arguments: str) -> None:
        self._environment |= dict(word.split("=", 1) for word in shlex.split(arguments))

    def _set_workdir(self, arguments: str) -> None:
        self._workdir = arguments
        with self._layer(f"WORKDIR {arguments}") as layer:
            if layer:
                (layer / arguments.lstrip("/")).mkdir(parents=True)

    def _set_command(self, arguments: str) -> None:
        self._command = tuple(json.loads(arguments))  # the exec form; a shell would be process 1

    def _copy(self, arguments: str) -> None:
        *sources, destination = arguments.split()
        patterns = (self._context / ".dockerignore").read_text().splitlines()
        sent = [Path(path) for path in sorted(exclude_paths(str(self._context), patterns))]
        copies: dict[Path, Path] = {}
        for source in map(Path, sources):
            found = [path for path in sent if path == source or source in path.parents]
            assert found, f"COPY {source}: .dockerignore leaves nothing of it"
            is_folder = (self._context / source).is_dir()
            copies |= {path: path.relative_to(source) if is_folder else Path(path.name) for path in found}
        files = {path: target for path, target in copies.items() if (self._context / path).is_file()}
        for path in files:
            self._key.update(f"{path}\0".encode() + (self._context / path).read_bytes())
        with self._layer(f"COPY {arguments}") as layer:
            if layer:
                into = layer / self._workdir.lstrip("/") / destination
                for path, target in files.items():
                    (into / target).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(self._context / path, into / target)

    def _run(self, arguments: str) -> None:
        with self._layer(f"RUN {arguments}") as layer:
            if layer:
                self._run_in(layer, arguments, *find_pip_configuration())

    def _run_in(self, layer: Path, script: str, settings: Mapping[str, str], bound: Sequence[str]) -> None:
        """Run a shell script in a container whose files become the layer."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        container = Container(
            Image(tuple(self._layers), {**settings, **self._environment}, self._workdir),
            layer.parent / f"{layer.name}.container",
            ("/bin/sh", "-c", script),
            {"DEBIAN_FRONTEND": "noninteractive", **proxies},
            ("/etc/resolv.conf", *bound),
        )
        try:
            code = container.wait(1800)
        finally:
            container.close()
        text = container.output.read_text(errors="replace")
        assert code == 0, f"{script} failed with exit code {code}:\n{text[-4000:]}"
        layer.rmdir()
        container.files.rename(layer)

    @contextlib.contextmanager
    def _layer(self, step: str) -> Iterator[Path | None]:
        """An empty folder that the block fills with a layer; None if it is in the cache."""
        self._key.update(b"layer")
        folder = self._cache_dir / self._key.hexdigest()[:20]
        part = self._cache_dir / f"{folder.name}.part"
        if folder.exists():
            yield None
        else:
            for old in self._cache_dir.glob(f"{part.name}*"):  # of an attempt that failed
                shutil.rmtree(old)
            part.mkdir()
            yield part
            part.rename(folder)
            shutil.rmtree(f"{part}.container", ignore_errors=True)
        os.utime(folder)
        self._layers.append((step, folder))

    def _debootstrap(self, release: str, layer: Path) -> None:
        try:
            tool = unpack_debian_packages(["debootstrap"], self._cache_dir)
        except RecipeError as error:
            raise NoImageHereError(str(error)) from error
        environment = os.environ | {"DEBOOTSTRAP_DIR": str(tool / "usr/share/debootstrap")}
        command = [tool / "usr/sbin/debootstrap", "--variant=minbase", release, layer]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise NoImageHereError(f"debootstrap failed: {done.stdout[-500:]}{done.stderr[-500:]}")
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(layer / folder)
            (layer / folder / "partial").mkdir(parents=True)

    def _forget_old_layers(self) -> None:
        """Remove layers that no build has used for long; a change of requirements leaves gigabytes."""
        for folder in self._cache_dir.iterdir():
            age_days = (time.time() - folder.stat().st_mtime) / 86_400
            if re.fullmatch(r"[0-9a-f]{20}", folder.name) and age_days > _DAYS_KEPT:
                shutil.rmtree(folder)


def find_pip_configuration() -> tuple[dict[str, str], tuple[str, ...]]:
    """This machine's configuration of pip as environment variables, and the local paths that it names."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    settings: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):  # those of the environment win
        name, _, value = line.partition("=")
        section, _, name = name.rpartition(".")
        if section in {"global", "install", ":env:"}:
            settings[f"PIP_{name.replace('-', '_').upper()}"] = ast.literal_eval(value)
    words = [word for value in settings.values() for word in value.split()]
    # An index in a folder links to the files beside it.
    paths = {str(Path(word[7:]).parent) if word.startswith("file://") else word for word in words}
    bound = tuple(sorted(path for path in paths if path.startswith("/") and Path(path).exists()))
    return settings, bound
