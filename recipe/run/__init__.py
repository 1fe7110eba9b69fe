"""One run, as the handler and `train.py` both know it: its folder, stages, operator and machine."""
