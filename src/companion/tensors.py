"""What several topics need of tensors: how many images at once, under how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

#: Pixel values in one pass. On a CPU the tensors of the larger layers then stay below 20 MB and are allocated
#: without asking the system for memory: 1,000 images of 28x28 at once took 1.5 times as long as 200 each
#: time. Smaller batches of small images wait for their calls instead. The GPU's number bounds memory.
VALUES = {"cpu": 160_000, "cuda": 1_000_000}


def batch_size(x: Tensor) -> int:
    """How many of the images x (B, ...) to put through a net at once on x's device, at least 16.

    200 of 28x28 and 2,500 of 8x8 pixels on a CPU.
    """
    return max(16, VALUES.get(x.device.type, VALUES["cpu"]) // max(1, x[:1].numel()))


@contextmanager
def one_thread(device: str | torch.device) -> Iterator[None]:
    """On a CPU, one torch thread: sums are then rounded alike, whoever calls and whatever runs beside.

    Whatever the store keeps (nets, maps, measurements) is computed inside this, so the same code, torch and
    processor give the same bits. Anything computed elsewhere agrees up to rounding.
    """
    threads = torch.get_num_threads()
    try:
        if torch.device(device).type == "cpu":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
