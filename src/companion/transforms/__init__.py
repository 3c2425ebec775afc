"""What training does to its input before the loss sees it: (model, x, y, *, ..., generator) -> x."""

from companion.transforms.adversarial import adversarial

__all__ = ["adversarial"]
