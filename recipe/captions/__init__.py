"""A caption file to cues, in plain Python: `reader.read_captions` is the way in."""
