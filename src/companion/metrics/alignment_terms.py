"""Alignment, linearised robustness and every term of the bounds between them (ET, Etmann et al. 2019)."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class AlignmentTerms:
    """What ET's theorems 2 and 3 are made of, one entry per sample; made by `alignment_terms`.

    Scalars are (B,) and, but for psi_plus, linear_plus and beta_plus (logits), l2 distances in pixels of
    [0, 1]. Maps are shaped like x.
    """

    predicted: Tensor  #: i*, the predicted class (B,)
    rival: Tensor  #: j*, the nearest other class by linearisation (B,)
    same_prediction: Tensor  #: F(xi) = F(x), bool (B,)
    g: Tensor  #: gradient of z_i* at x, a map
    g_plus: Tensor  #: gradient of z_i* - z_j* at x, a map
    gamma: Tensor  #: gradient of z_i* at xi, a map
    xi: Tensor  #: x + beta_plus * g_plus / ||g_plus||^2, an image that may leave [0, 1]
    psi_plus: Tensor  #: z_i* - z_j*, the binarised score (B,)
    linear_plus: Tensor  #: <x, g_plus>, its linear part (B,)
    beta_plus: Tensor  #: its locally constant part, from the biases (B,)
    alpha: Tensor  #: |<x, g>| / ||g||, eq. 7 (B,)
    alpha_plus: Tensor  #: |<x, g_plus>| / ||g_plus||, eq. 11 (B,)
    alpha_xi: Tensor  #: |<xi, gamma>| / ||gamma||, eq. 16 (B,)
    rho_tilde: Tensor  #: linearised robustness, eq. 9 (B,)
    shift: Tensor  #: |beta_plus| / ||g_plus|| (B,)
    turn: Tensor  #: ||x|| * ||unit(g_plus) - unit(g)||, eq. 15 (B,)
    turn_xi_printed: Tensor  #: ||xi|| * ||unit(g_plus) - unit(g)||, eq. 16 as printed (B,)
    turn_xi: Tensor  #: ||xi|| * ||unit(g_plus) - unit(gamma)||, eq. 16 corrected (ET-E1) (B,)

    @property
    def bound_2a(self) -> Tensor:
        """alpha_plus + shift, eq. 14 and 18."""
        return self.alpha_plus + self.shift

    @property
    def bound_2b(self) -> Tensor:
        """alpha + turn + shift, eq. 15 and 19."""
        return self.alpha + self.turn + self.shift

    @property
    def bound_3_printed(self) -> Tensor:
        """alpha_xi + turn_xi_printed, eq. 16 and 20 as printed: not a bound (ET-E1)."""
        return self.alpha_xi + self.turn_xi_printed

    @property
    def bound_3(self) -> Tensor:
        """alpha_xi + turn_xi, eq. 16 and 20 with the unit vector of gamma (ET-E1)."""
        return self.alpha_xi + self.turn_xi


def alignment(model: nn.Module, x: Tensor, *, chunk: int | None = None) -> Tensor:
    """alpha(x) = |<x, grad z_i*>| / ||grad z_i*|| for the predicted class i*: (B,), in [0, ||x||].

    Source: ET eq. 7. Not a cosine: it scales with ||x||. 0 where the gradient is zero.
    x: (B, ...) in [0, 1]. chunk: samples at once. Eval mode.
    Raises ValueError on a wrong range, dtype or device, probabilities, a single class, NaN.
    """
    raise NotImplementedError


def binarised_alignment(model: nn.Module, x: Tensor, *, chunk: int | None = None) -> Tensor:
    """alpha+(x) = |<x, g+>| / ||g+||, g+ the gradient of z_i* - z_j*, j* the nearest class: (B,).

    Source: ET eq. 11. Ranges and errors as in `alignment`.
    """
    raise NotImplementedError


def linearised_robustness(model: nn.Module, x: Tensor, *, chunk: int | None = None) -> Tensor:
    """rho~(x) = min over j != i* of (z_i* - z_j) / ||grad z_i* - grad z_j||: (B,), an l2 distance in pixels.

    Source: ET eq. 9; equal to the distance to the decision boundary where the net is affine that far
    (lemma 1). inf where no other class has another gradient. Errors as in `alignment`.
    """
    raise NotImplementedError


def alignment_terms(model: nn.Module, x: Tensor, *, chunk: int | None = None) -> AlignmentTerms:
    """Every term of ET's theorems 2 and 3 at x, per sample; theorem 3 as printed and as corrected.

    Source: ET eq. 9, 11, 14 to 16. The net must be of theorem 1's class, for beta_plus.
    x: (B, ...) in [0, 1], any float dtype the model has. Eval mode.
    Raises ValueError as `alignment` and `homogeneous_decomposition` do.
    """
    raise NotImplementedError
