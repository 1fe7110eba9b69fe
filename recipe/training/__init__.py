"""Training: arguments checked, one attempt's life, the exact trainer, checkpoints, weight selection."""
