"""Every named protocol in one place: how attacks start, step and project, and what they spend.

The strong protocol is the default. The others are weaker conventions of the papers' released code, kept under
their names so that a page can show what they hide.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How projected gradient descent starts, steps and projects.

    start: "ball", uniform in the ball; "image", advertorch's l2 start, a random image pulled into the ball;
    "none", the image itself.
    grad_floor: l2 gradients are divided by max(norm, grad_floor), so that small ones give short steps.
    loss_divisor: what the loss is divided by. A loss averaged over a batch of B is the per-sample loss with
    loss_divisor=B, however many samples are attacked at once; it matters only together with grad_floor.
    project_last: clip to [0, 1] before the projection onto the ball instead of after it.
    """

    name: str
    start: str = "ball"
    grad_floor: float = 0.0
    loss_divisor: float = 1
    project_last: bool = False


#: Per-sample loss, no gradient floor, uniform start in the ball.
STRONG = Protocol("strong")

#: IR's released code (advertorch, facts IR-E5): the loss is averaged over a batch of 50, the l2 gradient norm
#: is floored at 1e-6, the l2 start is a random image, the ball comes after the box.
IR_PAPER = Protocol("ir_paper", start="image", grad_floor=1e-6, loss_divisor=50, project_last=True)

#: BR's released code: no random start; the l2 gradient is divided by its norm plus 1e-8, which in units of
#: pixels in [-1, 1] is a floor of 2e-8 here. BR's constant steps, 2 for l2 and 0.02 for linf at every radius,
#: are 1 and 0.01 here.
BR_PAPER = Protocol("br_paper", start="none", grad_floor=2e-8)

PROTOCOLS = {protocol.name: protocol for protocol in (STRONG, IR_PAPER, BR_PAPER)}

#: What attacks.evaluate spends under each protocol by default.
BUDGETS = {
    "strong": {"steps": 40, "restarts": 2},
    "reference": {"steps": 100, "restarts": 5, "targets": 9, "queries": 5000},
    "ir_paper": {"steps": 40, "restarts": 2},
}
