"""The learning rate of an iteration: the seven policies of Caffe's solvers.

Source: Caffe, solvers/sgd_solver.cpp, GetLearningRate. The arithmetic is its own: `step`, `exp` and
`multistep` raise to a power in float64 and round once, the others compute in float32.
"""

import numpy as np

from alexnet.text.message import Message


def rate_at(solver: Message, iteration: int, step: int) -> tuple[float, int]:
    """Return the learning rate of an iteration and the step that it stands on.

        fixed      base_lr
        step       base_lr * gamma ** floor(iteration / stepsize)
        exp        base_lr * gamma ** iteration
        inv        base_lr * (1 + gamma * iteration) ** -power
        multistep  base_lr * gamma ** step
        poly       base_lr * (1 - iteration / max_iter) ** power
        sigmoid    base_lr / (1 + exp(-gamma * (iteration - stepsize)))

    `step` is what the call before returned, 0 in the beginning, and SolverState's current_step:
    `multistep` goes on from it, by one at most in each call, and `step` counts it anew.

    Source:  Caffe, SGDSolver::GetLearningRate. What a policy needs, `check_solver` has checked.
    """
    policy: str = solver["lr_policy"]
    if policy == "step":
        step = iteration // solver["stepsize"]
    if policy == "multistep":
        values = solver["stepvalue"]
        step += step < len(values) and iteration >= values[step]
    with np.errstate(all="ignore"):  # a rate that overflows is infinite, as in C++
        return float(_rate(solver, policy, iteration, step)), step


def _rate(solver: Message, policy: str, iteration: int, step: int) -> np.float32:
    one, now = np.float32(1), np.float32(iteration)
    base, gamma, power = (np.float32(solver[name]) for name in ("base_lr", "gamma", "power"))
    if policy in ("step", "exp", "multistep"):
        exponent = iteration if policy == "exp" else step
        return np.float32(np.float64(base) * np.float64(gamma) ** exponent)
    if policy == "inv":
        return np.float32(base * (one + gamma * now) ** -power)
    if policy == "poly":
        return np.float32(base * (one - now / np.float32(solver["max_iter"])) ** power)
    if policy == "sigmoid":
        distance = now - np.float32(solver["stepsize"])
        return np.float32(base * (one / (one + np.exp(-gamma * distance))))
    return base
