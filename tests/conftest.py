"""One torch thread for each pytest-xdist worker: the threads of several processes slow one another down."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported; OMP_NUM_THREADS=2 in front of the command wins
    os.environ.setdefault("OMP_NUM_THREADS", "1")
