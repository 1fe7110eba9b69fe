"""Losses and norms of the options of `scripts.benchmarks.exactness`, in those of its layouts that are named.

python layout_curves.py JSON_FILE LAYOUT [...]
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.benchmarks.exactness import LAYOUTS, train_all

if __name__ == "__main__":
    names = sys.argv[2:]
    layouts = [layout for layout in LAYOUTS if str(layout) in names]
    assert len(layouts) == len(names)
    with tempfile.TemporaryDirectory() as folder:
        curves = train_all(Path(folder), layouts)
    Path(sys.argv[1]).write_text(json.dumps(curves))
