"""What remove and retrain measures: of retrained nets, of nets that see masks alone, of attributed nets."""

import torch
from scipy import stats
from torch import Tensor, nn

from companion import attacks, guards, saliency
from companion.data import Images


def fraction_correct(net: nn.Module, images: Images) -> float:
    """Fraction of the test images that are classified correctly, in [0, 1]. Errors as in attacks.correct."""
    return attacks.correct(net, images.x_test, images.y_test).double().mean().item()


def read_off_masks(net: nn.Module, images: Images, *, source: nn.Module, whole: Images) -> dict[str, float]:
    """What a net reads off masks alone, per cent of the test images (BR-E12; ours).

    net, images: trained on masks that show nothing of the images (Mask.shows="mask"); those masks.
    source, whole: the net whose maps the masks were cut from; the images as they are.
    accuracy: right labels. decision: the source's decisions, right or wrong. decision_on_errors: the same
    where the source errs, NaN where it never does; a net that reads what the image shows, and not what the
    source decided, scores about 0 there.
    """
    with torch.no_grad(), guards.frozen(net), guards.frozen(source):
        read = guards.logits_of(net, images.x_test, 1000).argmax(1)
        decided = guards.logits_of(source, whole.x_test, 1000).argmax(1)
    agrees, errs = (read == decided).double(), decided != whole.y_test
    found = {
        "accuracy": (read == whole.y_test).double().mean(),
        "decision": agrees.mean(),
        "decision_on_errors": agrees[errs].mean(),
    }
    return {name: 100 * value.item() for name, value in found.items()}


def gradient_spread(net: nn.Module, images: Images) -> dict[str, float]:
    """Do a net's gradients lie where pixels vary (ours)? Spearman's correlations over pixels.

    Between the mean of |g_G|, the loss gradient, over the training images, and the standard deviation of the
    pixels over them. spread, all pixels: over all; spread, pixels that vary: without those that are the same
    in all training images, from which training learns nothing. NaN where either is constant.
    """
    size = saliency.loss_gradient(net, images.x_train, images.y_train).abs().mean(0).flatten()
    spread = images.x_train.std(0).flatten()
    varies = spread > 0
    return {
        "spread, all pixels": _spearman(size, spread),
        "spread, pixels that vary": _spearman(size[varies], spread[varies]),
    }


def _spearman(a: Tensor, b: Tensor) -> float:
    if a.numel() < 2 or a.max() == a.min() or b.max() == b.min():
        return float("nan")
    return float(stats.spearmanr(a.cpu(), b.cpu()).statistic)
