"""From the manifest to the Arrow dataset: files, cues, windows, examples."""
