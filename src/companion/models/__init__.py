"""Models: functions that return an nn.Module from images in [0, 1] to logits."""

from companion.models.block_cnn import block_cnn
from companion.models.br_cnn import br_cifar_cnn, br_mnist_cnn
from companion.models.cnn import digits_cnn, simple_cnn
from companion.models.compact_cnn import compact_cnn
from companion.models.fcnn import fcnn
from companion.models.imagenet import resnet50
from companion.models.leaking import leaking_net
from companion.models.lenet import lenet
from companion.models.linear import linear
from companion.models.mlp import mlp
from companion.models.normalise import Normalize
from companion.models.one_hidden import one_hidden
from companion.models.plain import plain_layers
from companion.models.resnet import resnet
from companion.models.small_net import small_net
from companion.models.vaegan import VaeGan, vaegan
from companion.models.vgg import vgg
from companion.models.wide_resnet import wide_resnet

__all__ = [
    "Normalize",
    "VaeGan",
    "block_cnn",
    "br_cifar_cnn",
    "br_mnist_cnn",
    "compact_cnn",
    "digits_cnn",
    "fcnn",
    "leaking_net",
    "lenet",
    "linear",
    "mlp",
    "one_hidden",
    "plain_layers",
    "resnet",
    "resnet50",
    "simple_cnn",
    "small_net",
    "vaegan",
    "vgg",
    "wide_resnet",
]
