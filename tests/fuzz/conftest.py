"""The parsers and mutators of ``benchmarks/trust`` can be imported by the fuzzers."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "trust"))
