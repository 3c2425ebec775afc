"""From a recipe to a trained net: the recipe, the loop, checkpoints, stacks of perceptrons, processes."""

from companion.training.loop import SCHEDULES, Diverged, build_model, time_step, train
from companion.training.recipe import Mask, Part, Recipe, Target, needed, part

__all__ = [
    "SCHEDULES",
    "Diverged",
    "Mask",
    "Part",
    "Recipe",
    "Target",
    "build_model",
    "needed",
    "part",
    "time_step",
    "train",
]
