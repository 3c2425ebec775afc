"""Models: functions that return an nn.Module from images in [0, 1] to logits."""

from companion.models.cnn import digits_cnn, simple_cnn
from companion.models.normalise import Normalize
from companion.models.small_net import small_net
from companion.models.wide_resnet import wide_resnet

__all__ = ["Normalize", "digits_cnn", "simple_cnn", "small_net", "wide_resnet"]
