"""The attack conventions of BR's released code."""

#: No random start; the l2 gradient is divided by its norm plus 1e-8, which in units of pixels in [-1, 1] is a
#: floor of 2e-8 here. BR's constant steps, 2 for l2 and 0.02 for linf at every radius, are 1 and 0.01 here.
BR_PAPER = {"start": "none", "grad_floor": 2e-8, "loss_divisor": 1, "project_last": False}
