"""One torch thread for each pytest-xdist worker: the threads of several processes slow one another down."""

import os

# Before torch is imported. An OMP_NUM_THREADS of the caller wins.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
