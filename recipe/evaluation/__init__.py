"""What a model hears on held-out recordings, and how far that is from the truth."""
