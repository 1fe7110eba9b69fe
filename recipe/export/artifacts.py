"""What each format is made of: the files, the runtime that reads them, and what writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recipe.export.ct2 import FILES as CT2_FILES
from recipe.export.ct2 import write_ct2
from recipe.export.ggml import has_quantize_tool, quantize_ggml, write_ggml
from recipe.export.openai_checkpoint import write_openai_checkpoint
from recipe.export.openai_names import check_vocabulary
from recipe.model.whisper import Whisper
from recipe.run.files import replacing, replacing_folder

GGML_FLOAT16 = "ggml-model-f16.bin"


@dataclass(frozen=True)
class Artifact:
    """A file or folder of a format.

    Attributes:
        name: Of the file or the folder.
        runtime: Who reads it: a name in `recipe.export.runtimes.RUNTIMES`.
        write: Writes the model to a path.
        members: Files of a folder; none for a file.
        is_quantized: Whether weights have 8 bits or fewer, which may cost words.
    """

    name: str
    runtime: str
    write: Callable[[Whisper, Path], None]
    members: tuple[str, ...] = ()
    is_quantized: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of its files, relative to where it lies."""
        return tuple(f"{self.name}/{member}" for member in self.members) or (self.name,)

    def make(self, whisper: Whisper, output_dir: Path) -> None:
        """Write it in full or not at all, over an earlier one.

        Raises:
            PublishError: the format cannot hold the model, or a tool failed.
            OSError: it cannot be written.
        """
        if self.runtime != "faster-whisper":  # which reads the vocabulary instead
            check_vocabulary(whisper.model)
        place = replacing_folder if self.members else replacing
        with place(output_dir / self.name) as path:
            self.write(whisper, path)


def _ct2(precision: str) -> Artifact:
    write = partial(write_ct2, precision=precision)
    return Artifact(f"ct2-{precision}", "faster-whisper", write, CT2_FILES, precision == "int8")


def _quantized(kind: str) -> Artifact:
    def write(_: Whisper, path: Path) -> None:
        quantize_ggml(path.with_name(GGML_FLOAT16), path, kind)

    return Artifact(f"ggml-model-{kind}.bin", "whisper.cpp", write, is_quantized=True)


FORMATS = {
    "ct2": (_ct2("float16"), _ct2("int8")),
    "ggml": (
        Artifact(GGML_FLOAT16, "whisper.cpp", write_ggml),
        _quantized("q8_0"),
        _quantized("q5_0"),
    ),
    "pt": (Artifact("openai-whisper.pt", "openai-whisper", write_openai_checkpoint),),
}
"""The artifacts of each value of `--export`, in the order in which they are made."""

ARTIFACTS = {artifact.name: artifact for artifacts in FORMATS.values() for artifact in artifacts}
EXPORTED_FILES = frozenset(file for artifact in ARTIFACTS.values() for file in artifact.files)


def list_artifacts(format_name: str) -> list[Artifact]:
    """What a format comes to on this machine: quantised ggml files only with whisper.cpp's tool."""
    is_whole = format_name != "ggml" or has_quantize_tool()
    return [artifact for artifact in FORMATS[format_name] if is_whole or artifact.name == GGML_FLOAT16]
