"""``python -m benchmarks``: the daemon's figures beside their targets, measured in one run on this machine.

Everything is on 127.0.0.1 and in temporary folders. Parts that are compared run in the same run, in turns, each in a
process of its own. Nothing is asserted: the table says what was reached and what was not.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the daemon's folder
