"""Recordings to an Arrow dataset: listed, downloaded, cut into windows, split, reported."""
