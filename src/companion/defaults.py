"""torch as it starts, whatever device and type of numbers its user has made the default."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def torch_defaults() -> Iterator[None]:
    """float32 on the CPU, unless a call says otherwise; the user's defaults are back afterwards.

    Images, nets and measurements are then what their keys say, not what a notebook has set before.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":  # entered only then, since every call of torch passes it
            stack.enter_context(torch.device("cpu"))
        yield
