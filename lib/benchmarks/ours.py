"""The tasks in this library, as a user would write them."""
import numpy as np

from metrized.losses import CrossEntropy
from metrized.objective import Objective
from metrized.vectors import Vector

from .problem import Job, Problem, iterated
from .workloads import WORKLOADS


def start(problem: Problem) -> tuple[Objective, Vector]:
    """The objective and the weights to begin at."""
    module, saved = WORKLOADS[problem.workload].module, iter(problem.weights)
    w = module.initialize(np.random.default_rng(0)).map(lambda _: next(saved))
    return Objective(module, CrossEntropy(), problem.x, problem.t), w


def step(problem: Problem) -> Job:
    """One step of gradient descent."""
    objective, w = start(problem)

    def descend(w):
        g = objective.gradient(w)
        return w - problem.step_size * Vector(g.nest())

    return Job(objective.gradient(w).leaves(), iterated(descend, w))


def dualized_step(problem: Problem) -> Job:
    """One step along the dual of the gradient in the modular norm."""
    objective, w = start(problem)
    g = objective.gradient(w)
    descend = lambda w: w - problem.step_size * objective.module.dualize(objective.gradient(w))
    return Job(objective.module.dualize(g).leaves() + g.leaves(), iterated(descend, w))


TASKS = {"step": step, "dualized step": dualized_step}
