"""Runs a program of jumon/whisper-finetuning as it is, in an environment of its own.

    PEER_PYTHON run_peer.py PEER_DIR MODEL.pt PROGRAM [its arguments]

Three things stand in for what that program takes from elsewhere: audio is read by soundfile, not by the
command ffmpeg; `torchaudio.save` is soundfile's too, since torchaudio does not load beside the torch of this
project; and the weights are those of a file, under the name that --model gives, not a download. Nothing that
is learnt depends on them.
"""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import torch
import whisper
import whisper.audio
from transformers import get_linear_schedule_with_warmup  # noqa: F401 - before it could find the stand-in


def load_audio(path: object, sr: int = 16_000) -> np.ndarray:
    """Samples of a mono WAV or FLAC file at 16 kHz, float32."""
    samples: np.ndarray
    samples, rate = soundfile.read(str(path), dtype="float32")
    assert rate == sr, f"{path} is at {rate} Hz"
    return samples


def save(path: object, samples: torch.Tensor, sample_rate: int, **_: object) -> None:
    """What `torchaudio.save` does with one channel."""
    soundfile.write(str(path), samples.numpy().T, sample_rate, subtype="PCM_16")


def main() -> None:
    """Put the stand-ins in place and run the program."""
    folder, weights, program, *arguments = sys.argv[1:]
    torch.set_num_threads(1)
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    vars(sys.modules["torchaudio"])["save"] = save
    whisper.audio.load_audio = whisper.load_audio = load_audio
    name, load = Path(weights).stem, whisper.load_model
    whisper.available_models = lambda: [name]
    whisper.load_model = lambda _name, device=None: load(weights, device)
    sys.path.insert(0, folder)
    sys.argv = [program, *arguments]
    runpy.run_path(str(Path(folder) / program), run_name="__main__")


if __name__ == "__main__":
    main()
