"""The handler's side of a run: the job, the supervisor of `train.py`, the answer."""
