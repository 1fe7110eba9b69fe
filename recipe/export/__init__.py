"""A Whisper folder in the formats of other runtimes, each proved by the runtime itself on held-out speech."""
