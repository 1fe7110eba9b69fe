"""What people run from a checkout; below: the demo's parts, the platform's stand-in, the benchmarks."""
