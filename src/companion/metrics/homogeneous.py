"""The homogeneous decomposition of a ReLU net's logits (ET, Etmann et al. 2019, theorem 1)."""

from torch import Tensor, nn


def homogeneous_decomposition(model: nn.Module, x: Tensor, *, chunk: int = 500) -> tuple[Tensor, Tensor]:
    """<x, grad_x z_i> and <b, grad_b z_i> for every class i: two tensors (B, K) that sum to the logits.

    Source: ET eq. 13. b holds every constant a layer adds: the biases of convolutions and dense layers, the
    shifts and the running means of BatchNorm, and the mean of models.Normalize. Each part is a directional
    derivative of its own, all classes at once; neither is the remainder of the other.
    x: (B, ...) in [0, 1], any float dtype the model has (float64 for the identity). Eval mode.
    chunk: samples at once; bounds the memory and changes nothing else.
    Raises ValueError on a layer outside the theorem's class, which it names, on probabilities instead of
    logits, a single class, NaN, and on a wrong range, dtype or device.
    """
    raise NotImplementedError
