"""What a training costs, counted."""

from companion.training import Recipe


def gradient_evaluations(recipe: Recipe) -> int:
    """How often a gradient is taken for one training image, over the whole training.

    A step on the cross-entropy takes one; each step of an attack one more; a loss with an input gradient
    three in place of one, the gradient and its derivative, which costs two. Maps to train on add what their
    teacher's training takes and what the maps take. IR's projections count as one gradient.
    """
    attack = recipe.inputs.kwargs["steps"] if recipe.inputs and recipe.inputs.name == "adversarial" else 0
    own = recipe.epochs * (attack + (1 if recipe.loss.name == "cross_entropy" else 3))
    if recipe.target is None or recipe.target.source is None:
        return own
    of_map = recipe.target.map.kwargs
    return own + gradient_evaluations(recipe.target.source) + of_map.get("samples", 1)
