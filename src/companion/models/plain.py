"""A net as plain numbers, for programs without torch: what the book's laboratory computes with."""

from typing import Any

import torch
from torch import Tensor, nn

from companion.models.normalise import Normalize


def plain_layers(net: nn.Sequential) -> list[dict[str, Any]]:
    """The layers of a net as plain values, weights in half precision: what an engine without torch needs.

    net: Conv2d, MaxPool2d, Linear, ReLU and Normalize in a row, nested or not. Flatten is left out, since
    arrays are flat, and Dropout too: the net is the evaluated one.
    Each layer has a `kind`: "convolution" (weight, bias, shape (out, in, side), stride, padding), "dense"
    (weight, bias, shape (out, in)), "relu", "largest" (side: pooling) or "standardised" (mean, std).
    Weights and biases are bytes: little-endian IEEE half-precision numbers, in torch's order. Rounding
    changes each by at most 0.05 % of itself.
    Raises ValueError for any other layer, and for weights that half precision cannot hold.
    """
    layers = (layer for layer in net.modules() if not isinstance(layer, nn.Sequential))
    return [plain for layer in layers if (plain := _plain(layer)) is not None]


def _plain(layer: nn.Module) -> dict[str, Any] | None:
    match layer:
        case nn.Flatten() | nn.Dropout():
            return None
        case nn.ReLU():
            return {"kind": "relu"}
        case Normalize():
            return {"kind": "standardised", "mean": layer.mean.tolist(), "std": layer.std.tolist()}
        case nn.MaxPool2d() if layer.stride == layer.kernel_size and not layer.padding:
            return {"kind": "largest", "side": layer.kernel_size}
        case nn.Linear():
            return {"kind": "dense", "shape": list(layer.weight.shape), **_weights(layer)}
        case nn.Conv2d() if _is_square(layer):
            place = {"stride": layer.stride[0], "padding": layer.padding[0]}
            return {
                "kind": "convolution",
                "shape": list(layer.weight.shape)[:3],
                **place,
                **_weights(layer),
            }
    raise ValueError(f"{layer} has no plain form; expected square convolutions, poolings and dense layers")


def _is_square(layer: nn.Conv2d) -> bool:
    pairs = (layer.kernel_size, layer.stride, layer.padding)
    square = all(not isinstance(pair, str) and pair[0] == pair[1] for pair in pairs)
    return square and layer.dilation == (1, 1) and layer.groups == 1


def _weights(layer: nn.Conv2d | nn.Linear) -> dict[str, bytes]:
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return {"weight": _halves(layer.weight), "bias": _halves(bias)}


def _halves(values: Tensor) -> bytes:
    rounded = values.detach().cpu().half()
    if not rounded.isfinite().all():
        raise ValueError(f"weights up to {values.abs().max():g}; half precision holds up to 65504")
    return rounded.numpy().astype("<f2").tobytes()
