"""A model's transcripts of held-out windows, and their word and character error rates."""
