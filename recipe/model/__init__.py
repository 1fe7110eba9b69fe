"""A Whisper checkpoint: loaded, fed with windows, adapted, run on all processes."""
