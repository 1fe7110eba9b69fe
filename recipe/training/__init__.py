"""From the Arrow dataset to a trained checkpoint: model, features, trainer, callbacks."""
