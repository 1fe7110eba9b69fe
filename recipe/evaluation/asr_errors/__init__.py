"""A metric in the layout that `evaluate.load` expects: a folder with a script of the same name."""
