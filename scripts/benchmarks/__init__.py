"""The measurements behind docs/, one a module: `python -m scripts.benchmarks.preparation --help`."""
