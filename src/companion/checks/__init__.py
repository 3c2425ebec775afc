"""Is this robustness number credible? Rows R1 to R27 of the evaluation checklist, each a function.

`fast` runs those that are cheap, `slow` the others; both return a Report in which every row says passed,
flagged, failed or not run, with a value and a sentence. `join` makes one report of both.
"""

from companion.checks import broken
from companion.checks.bundle import fast, slow
from companion.checks.report import ROWS, Check, Report, join, wilson

__all__ = ["ROWS", "Check", "Report", "broken", "fast", "join", "slow", "wilson"]
