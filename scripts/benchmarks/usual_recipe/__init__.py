"""This recipe and the usual one side by side: `python -m scripts.benchmarks.usual_recipe --help`."""
