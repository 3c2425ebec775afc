"""ET's lemmas and theorems executed in float64 on classifiers drawn at random (Etmann et al. 2019).

Every function returns rows: the claim, what is compared, a quantity ("gap", the largest deviation from an
equality, or "violations", how often a bound fails) and its value, which ET's proofs expect to be 0 but for
rounding.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.metrics.alignment_terms import (
    AlignmentTerms,
    alignment_terms,
    binarised_alignment,
    linearised_robustness,
)
from companion.metrics.homogeneous import homogeneous_decomposition

SLACK = 1e-9
#: Logits (relu(p1 + 3/4) + relu(p1 - 3 p2 + 7/8) - 1/2, 0): theorem 3 as printed fails on it.
COUNTER = {"hidden": ((1.0, 0.0, 0.75), (1.0, -3.0, 0.875)), "out": ((1.0, 1.0, -0.5), (0.0, 0.0, 0.0))}
Rows = list[dict[str, Any]]
Matrix = Tensor | Sequence[Sequence[float]]


def algebra(nets: int, bound_nets: int) -> Rows:
    """ET-C1 to ET-C5 and lemma 1, all functions below; nets, bound_nets: how many random ones each looks
    at."""
    of_nets = homogeneous_nets(nets) + decompositions(nets) + bounds(bound_nets)
    return linear_identities() + affine_regions() + of_nets


def linear_identities(count: int = 100) -> Rows:
    """ET-C1, eq. 2, 4 and 5: `count` linear and as many affine binary classifiers F = sgn(Psi) in 20
    dimensions, 50 points each.

    alpha is that of definition 2, of the score Psi itself; rho is the distance to the foot of the
    perpendicular on the hyperplane.
    """
    linear, shifted, above = 0.0, 0.0, 0
    for k in range(count):
        z, points = _uniform(20, seed=2 * k) - 0.5, _uniform(50, 20, seed=2 * k + 1)
        linear = max(linear, _largest(_distance(points, z, 0.0) - _score_alignment(points, z, 0.0)))
        distance, xi = _distance(points, z, 1.0), points + z / (z @ z)
        shifted = max(shifted, _largest(distance - _score_alignment(xi, z, 1.0)))
        above += int((distance > _score_alignment(points, z, 1.0) + 1 / z.norm() + SLACK).sum())
    return [
        _row("ET-C1", "linear: |ρ − α|", "gap", linear),
        _row("ET-C1", "affine: points with ρ > α + |b| / ‖z‖", "violations", above),
        _row("ET-C1", "affine: |ρ − α(ξ)|", "gap", shifted),
    ]


def _distance(points: Tensor, z: Tensor, b: float) -> Tensor:
    foot = points - ((points @ z + b) / (z @ z))[:, None] * z
    return (points - foot).norm(dim=1)


def _score_alignment(points: Tensor, z: Tensor, b: float) -> Tensor:
    """Definition 2 for Psi(x) = <x, z> + b, its gradient by automatic differentiation."""
    leaf = points.clone().requires_grad_()
    (g,) = torch.autograd.grad((leaf @ z + b).sum(), leaf)
    return (points * g).sum(1).abs() / g.norm(dim=1)


def affine_regions(count: int = 100) -> Rows:
    """Lemma 1: `count` nets of six hidden units on the plane, 50 points each; of these, the points around
    which the net is affine as far as rho_tilde.

    Violations: points of another class within it, on circles of 64 points, and points just beyond it,
    straight towards the boundary, of the same class.
    """
    inside, missed, covered = 0, 0, 0
    angle = torch.linspace(0, 2 * math.pi, 65, dtype=torch.float64)[:-1]
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    for k in range(count):
        hidden, out = _uniform(6, 3, seed=3 * k) * 2 - 1, _uniform(3, 7, seed=3 * k + 1) * 2 - 1
        net, points = plane_net(hidden, out), _uniform(50, 2, seed=3 * k + 2)
        found = alignment_terms(net, points)
        hinges = (points @ hidden[:, :2].T + hidden[:, 2]).abs() / hidden[:, :2].norm(dim=1)
        fits = hinges.min(1).values >= found.rho_tilde
        x, radius, own = points[fits], found.rho_tilde[fits, None], found.predicted[fits]
        for share in (0.5, 0.999999):
            near = x[:, None] + share * radius[..., None] * circle
            inside += int((net(near).argmax(2) != own[:, None]).sum())
        beyond = x - 1.000001 * radius * F.normalize(found.g_plus[fits])
        missed, covered = missed + int((net(beyond).argmax(1) == own).sum()), covered + len(x)
    at = f"of {covered:,} points with l(x) ≥ ρ̃(x)"
    return [
        _row("ET-lemma1", f"another class at 0.5 or 0.999999 ρ̃, {at}", "violations", inside),
        _row("ET-lemma1", "the same class at 1.000001 ρ̃, towards the boundary", "violations", missed),
    ]


def homogeneous_nets(count: int) -> Rows:
    """ET-C2, lemma 2: `count` random convolutional nets without constants, 20 inputs each."""
    gap = 0.0
    for k in range(count):
        net, x = random_net(k, constants=False), _uniform(20, 1, 8, 8, seed=k)
        gap = max(gap, _largest(linearised_robustness(net, x) - binarised_alignment(net, x)))
    return [_row("ET-C2", "without biases: |ρ̃ − α†|", "gap", gap)]


def decompositions(count: int) -> Rows:
    """ET-C3, theorem 1: `count` random nets with BatchNorm, 20 inputs each, and the smallest gap over the
    nets where the running means are left out of b."""
    gap, without = 0.0, math.inf
    for k in range(count):
        net, x = random_net(k), _uniform(20, 1, 8, 8, seed=k)
        linear, bias = homogeneous_decomposition(net, x)
        logits = net(x).detach()
        gap = max(gap, _largest(logits - linear - bias))
        without = min(without, _largest(logits - linear - _biases_alone(net, x)))
    return [
        _row("ET-C3", "|Ψ − ⟨x, ∇ₓΨ⟩ − ⟨b, ∇_bΨ⟩|", "gap", gap),
        _row("ET-C3", "the same without running means, smallest", "gap without running means", without),
    ]


def _biases_alone(net: nn.Module, x: Tensor) -> Tensor:
    """<b, grad_b> over the parameters called bias, all logits: a derivative of scaling them, as a
    difference of two evaluations on the same linear pieces."""
    names = [name for name, _ in net.named_parameters() if name.endswith("bias")]
    step, held = 1e-6, dict(net.named_parameters())
    more, less = (
        torch.func.functional_call(net, {n: held[n] * (1 + s) for n in names}, x).detach()
        for s in (step, -step)
    )
    return (more - less) / (2 * step)


def bounds(count: int) -> Rows:
    """ET-C4 and ET-C5, theorems 2 and 3: `count` random nets with BatchNorm, 50 inputs each, and, for the
    bound as printed, the share of inputs in per cent."""
    found = [
        alignment_terms(random_net(1000 + k), _uniform(50, 1, 8, 8, seed=1000 + k)) for k in range(count)
    ]
    broken = {name: _broken(found, name) for name in ("bound_2a", "bound_2b", "bound_3", "bound_3_printed")}
    cases = f"of {50 * count:,}"
    printed = 100 * broken["bound_3_printed"] / (50 * count)
    return [
        _row("ET-C4", f"theorem 2, first bound, {cases}", "violations", broken["bound_2a"]),
        _row("ET-C4", f"theorem 2, second bound, {cases}", "violations", broken["bound_2b"]),
        _row("ET-C5", f"theorem 3 with γ̄, {cases}", "violations", broken["bound_3"]),
        _row("ET-C5", "theorem 3 as printed, with ḡ", "violations as printed, per cent", printed),
    ]


def _broken(found: Sequence[AlignmentTerms], name: str) -> int:
    return sum(int((t.rho_tilde > getattr(t, name) + SLACK).sum()) for t in found)


def penalty_bracket(net: nn.Module, x: Tensor) -> Rows:
    """ET-C13: the smallest ||x||^2 ||g||^2 - <x, g>^2 in float64, or 0 if it is not negative."""
    x = x.double()
    g, flat = alignment_terms(copy.deepcopy(net).double(), x).g.flatten(1), x.flatten(1)
    term = (flat.norm(dim=1) * g.norm(dim=1)) ** 2 - (flat * g).sum(1) ** 2
    return [_row("ET-C13", "‖x‖²‖g‖² − ⟨x, g⟩², if negative", "gap", min(term.min().item(), 0.0))]


def shared_origin(net: nn.Module, x: Tensor) -> Rows:
    """One image that, as the origin, makes alpha_plus equal rho_tilde for all images x (B, ...) at once
    (ours).

    <origin, g_plus> = -beta_plus is one linear equation an image, in as many unknowns as it has pixels: it
    can be solved while the g_plus are linearly independent. The gap is the largest |rho_tilde - alpha_plus|.
    """
    net, x = copy.deepcopy(net).double(), x.double()
    terms = alignment_terms(net, x)
    origin = torch.linalg.lstsq(terms.g_plus.flatten(1), -terms.beta_plus[:, None]).solution.view(x.shape[1:])
    moved = alignment_terms(net, x, origin=origin)
    compares = f"|ρ̃ − α†| from one origin for {len(x)} images"
    return [_row("ET-ex-shift", compares, "gap", _largest(terms.rho_tilde - moved.alpha_plus))]


def plane_net(hidden: Matrix, out: Matrix) -> nn.Sequential:
    """One hidden layer on the plane: rows (w1, w2, b), and for each class the units' weights and a
    constant."""
    hidden, out = (torch.as_tensor(rows, dtype=torch.float64) for rows in (hidden, out))
    net = nn.Sequential(nn.Linear(2, len(hidden)), nn.ReLU(), nn.Linear(len(hidden), len(out))).double()
    with torch.no_grad():
        net[0].weight.copy_(hidden[:, :2])
        net[0].bias.copy_(hidden[:, 2])
        net[2].weight.copy_(out[:, :-1])
        net[2].bias.copy_(out[:, -1])
    return net.eval()


def counter_example() -> dict[str, float]:
    """rho_tilde and theorem 3's bound as printed and as corrected, for COUNTER at x = (1/2, 1/2) (ET-E1)."""
    terms = alignment_terms(plane_net(**COUNTER), torch.full((1, 2), 0.5, dtype=torch.float64))
    return {
        "rho_tilde": terms.rho_tilde.item(),
        "theorem 3 as printed": terms.bound_3_printed.item(),
        "theorem 3 with gamma": terms.bound_3.item(),
    }


def random_net(seed: int, *, constants: bool = True) -> nn.Sequential:
    """A small convolutional net for 8x8 images with random weights; with constants, biases and BatchNorm of
    random statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classes = int(torch.randint(2, 11, ()))
        bn = [nn.BatchNorm2d(6)] if constants else []
        net = nn.Sequential(
            *(nn.Conv2d(1, 6, 3, padding=1, bias=constants), *bn, nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 8, 3, padding=1, bias=constants), nn.LeakyReLU(0.1), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(32, 16, bias=constants), nn.ReLU()),
            nn.Linear(16, classes, bias=constants),
        )
        for layer in bn:
            nn.init.uniform_(layer.weight, 0.5, 2)
            for shift in (layer.bias, layer.running_mean):
                nn.init.uniform_(shift, -1, 1)
            nn.init.uniform_(layer.running_var, 0.3, 3)
    return net.double().eval()


def _uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _largest(difference: Tensor) -> float:
    return difference.nan_to_num(0.0).abs().max().item()


def _row(claim: str, compares: str, quantity: str, value: float) -> dict[str, Any]:
    return {"claim": claim, "compares": compares, "quantity": quantity, "value": value}
