"""Points drawn from a known distribution, in the form of images: a point of D coordinates is (D, 1, 1).

Images of one pixel with a channel for each coordinate pass through the same attacks, losses and nets as any
other. Coordinates lie in [0, 1], like pixels.
"""

from collections.abc import Callable, Sequence

import torch

from companion.data.images import Images

#: The classes of BR's figure 3b: means, and the covariance both share.
MEANS = ((1.2, 0.1), (-1.2, -0.1))
COVARIANCE = ((0.1, -0.01), (-0.01, 0.002))
#: As printed in BR's appendix A.1; not positive semi-definite, so no distribution has it (BR-E1).
PRINTED_COVARIANCE = ((0.1, -0.01), (-0.01, 0.0002))


def gaussians(*, covariance: Sequence[Sequence[float]] = COVARIANCE, n: int = 3000, seed: int = 0) -> Images:
    """Two Gaussians in the plane: n points of each class to train on, n to test on.

    Source: BR appendix A.1, with its code's means (the text loses a sign, BR-E2) and covariance (the printed
    one is none, BR-E1: pass PRINTED_COVARIANCE to see). One scale for both axes takes the training points
    into the unit square, as BR's code takes them into [-1, 1]: distances and radii here are half of BR's. It
    hangs on the outermost points, and with it half the distance of the means, 0.25 to 0.27: BR's strong
    adversary, 0.25, reaches as far as a boundary between the classes can give way.
    Class 0 is BR's class 1, which its figure attacks (BR-E4). Deviation: the code has no test points. The few
    of those drawn here that lie outside the square are moved to its edge.
    Raises ValueError for a matrix that is no covariance.
    """
    covariance = torch.tensor(covariance, dtype=torch.float64)
    smallest = torch.linalg.eigvalsh(covariance)[0].item()
    if smallest < 0 or not covariance.equal(covariance.T):
        raise ValueError(
            f"covariance {covariance.tolist()} has the eigenvalue {smallest:.2g}; expected a symmetric "
            "matrix with none below 0. BR prints 0.0002 where its code has 0.002 (BR-E1): use COVARIANCE"
        )
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 2, n, 2, generator=generator, dtype=torch.float64)  # train and test, class, point
    raw = noise @ torch.linalg.cholesky(covariance).T + torch.tensor(MEANS, dtype=torch.float64)[:, None]
    low, high = raw[0].aminmax()
    x_train, x_test = ((raw - low) / (high - low)).clamp(0, 1).float().view(2, 2 * n, 2, 1, 1)
    y = torch.arange(2).repeat_interleave(n)
    return Images("gaussians", "two Gaussians", x_train, y, x_test, y.clone(), ("class 1", "class 2"))


#: By the name that data.load knows; the names stand in sources.py too, which needs no torch.
TOYS: dict[str, Callable[..., Images]] = {"gaussians": gaussians}
