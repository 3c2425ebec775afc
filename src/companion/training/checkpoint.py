"""The state of a training between two epochs, kept so that a killed one goes on where it was."""

import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from companion.files import write_atomic


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    streams: dict[str, torch.Generator],
    history: list[dict],
    best: dict[str, Tensor],
) -> None:
    """Everything the next epoch depends on, in one safetensors file, written aside and renamed."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{i}/{k}": torch.as_tensor(v) for k, v in state.items() if v is not None}
    tensors["random/cpu"] = torch.get_rng_state()
    if next(model.parameters()).is_cuda:
        tensors["random/cuda"] = torch.cuda.get_rng_state(next(model.parameters()).device)
    tensors |= {f"stream/{k}": g.get_state() for k, g in streams.items()}
    tensors["history"] = torch.frombuffer(bytearray(json.dumps(history).encode()), dtype=torch.uint8)
    tensors["device"] = torch.frombuffer(bytearray(_device_of(model).encode()), dtype=torch.uint8)
    # clone: safetensors refuses tensors that share memory
    content = save({k: v.detach().clone().contiguous() for k, v in tensors.items()})
    write_atomic(path, hashlib.sha256(content).digest() + content)


def _device_of(model: nn.Module) -> str:
    return next(model.parameters()).device.type


def resume(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, streams: dict[str, torch.Generator]
) -> tuple[list[dict], dict[str, Tensor]]:
    """Load a checkpoint into model, optimiser and generators; one that cannot be used is said and ignored."""
    raw = path.read_bytes()
    checksum, content = raw[:32], raw[32:]
    if hashlib.sha256(content).digest() != checksum:
        warnings.warn(f"checkpoint {path.name} is damaged; training starts again", stacklevel=3)
        return [], {}
    tensors = load(content)
    made_on, device = bytes(tensors["device"].tolist()).decode(), next(model.parameters()).device
    if made_on != device.type:  # its random states belong to another kind of generator
        warnings.warn(f"checkpoint {path.name} was made on {made_on}; training starts again", stacklevel=3)
        return [], {}
    history = json.loads(bytes(tensors["history"].tolist()))

    def group(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    model.load_state_dict(group("model/"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in group("optimiser/").items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
    for parameter, kept in optimiser.state.items():
        for key, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # Fused optimisers walk through memory and, on a CPU, do not ask whether its order agrees
                kept[key] = torch.empty_like(parameter).copy_(value)
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
    for name, generator in streams.items():
        generator.set_state(tensors[f"stream/{name}"])
    return history, {k: v.to(device) for k, v in group("best/").items()}
