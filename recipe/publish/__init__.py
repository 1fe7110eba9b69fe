"""A trained model to a published one: staged, reloaded and sealed, then delivered."""
