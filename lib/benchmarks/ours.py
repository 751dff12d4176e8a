"""The tasks in this library, as a user would write them."""
from functools import partial

import numpy as np

from metrized import linalg
from metrized.losses import CrossEntropy
from metrized.objective import Objective
from metrized.vectors import Tree, Vector

from .problem import SCHEMES, Job, Problem, iterated, repeated
from .workloads import WORKLOADS


def nested(problem: Problem, arrays: list[np.ndarray]) -> Vector:
    """The arrays in the nest of the module's weights."""
    rest = iter(arrays)
    return WORKLOADS[problem.workload].module.initialize(np.random.default_rng(0)).map(lambda _: next(rest))


def start(problem: Problem) -> tuple[Objective, Vector]:
    """The objective and the weights to begin at."""
    return Objective(WORKLOADS[problem.workload].module, CrossEntropy(), problem.x, problem.t), nested(problem, problem.weights)


def descent(objective: Objective, step_size):
    """w -> w - step_size * gradient."""
    return lambda w: w - step_size * Vector(objective.gradient(w).nest())


def step(problem: Problem) -> Job:
    """One step of gradient descent."""
    objective, w = start(problem)
    return Job(objective.gradient(w).leaves(), iterated(descent(objective, problem.options["step_size"]), w))


def dualized_step(problem: Problem) -> Job:
    """One step along the dual of the gradient in the modular norm."""
    objective, w = start(problem)
    dual, step_size, g = objective.module.dualize, problem.options["step_size"], objective.gradient(w)
    return Job(dual(g).leaves() + g.leaves(), iterated(lambda w: w - step_size * dual(objective.gradient(w)), w))


def ensemble(problem: Problem) -> Job:
    """One step of all networks side by side, each with its own step size."""
    objective = Objective(WORKLOADS[problem.workload].module, CrossEntropy(), problem.x[None], problem.t)
    w, step_sizes = nested(problem, problem.weights), np.array(problem.options["step_sizes"], dtype=np.float32)
    return Job(objective.gradient(w).leaves(), iterated(descent(objective, step_sizes), w))


def one_by_one(problem: Problem) -> Job:
    """One step of each network after the other."""
    networks = [nested(problem, layers) for layers in zip(*problem.weights, strict=True)]
    objective = start(problem)[0]
    steps = [descent(objective, step_size) for step_size in problem.options["step_sizes"]]
    gradients = [objective.gradient(w).leaves() for w in networks]
    return Job([np.stack(layer) for layer in zip(*gradients, strict=True)],
               iterated(lambda ws: [step(w) for step, w in zip(steps, ws, strict=True)], networks))


def sweep(problem: Problem) -> Job:
    """One step of all networks, in the way that our sweep over widths goes at this width."""
    return (ensemble if problem.options["side_by_side"] else one_by_one)(problem)


def answered(task) -> Job:
    """A task that is repeated as it is, and answers what it returns."""
    answer = task()
    return Job(answer.leaves() if isinstance(answer, Tree) else [np.asarray(answer)], repeated(task))


def loss(problem: Problem) -> Job:
    """The forward pass."""
    objective, w = start(problem)
    return answered(lambda: objective(w))


def gradient(problem: Problem) -> Job:
    """The forward and the backward pass."""
    objective, w = start(problem)
    return answered(lambda: objective.gradient(w))


def gauss_newton(problem: Problem) -> Job:
    """J^T l'' J v, the network being linearized for it."""
    (objective, w), v = start(problem), nested(problem, problem.direction())
    return answered(lambda: objective.gauss_newton(w)(v))


def next_gauss_newton(problem: Problem) -> Job:
    """J^T l'' J v where the network is linearized already, as in the steps of an eigenvalue or linear solver."""
    (objective, w), v = start(problem), nested(problem, problem.direction())
    product = objective.gauss_newton(w)
    return answered(lambda: product(v))


def hessian(problem: Problem) -> Job:
    """H v by a difference of gradients."""
    (objective, w), v = start(problem), nested(problem, problem.direction())
    return answered(lambda: objective.hessian(w, v))


def newton_schulz(problem: Problem, scheme: str) -> Job:
    """The orthogonal factor, nearly, by a named scheme."""
    G, steps = problem.weights[0], getattr(linalg, scheme)
    return answered(lambda: linalg.newton_schulz(G, steps))


def svd(problem: Problem) -> Job:
    """The orthogonal factor by NumPy's singular value decomposition."""
    G = problem.weights[0]

    def polar():
        U, _, Vt = np.linalg.svd(G, full_matrices=False)
        return U @ Vt

    return answered(polar)


TASKS = {"step": step, "dualized step": dualized_step, "sweep": sweep, "ensemble": ensemble, "one by one": one_by_one,
         "loss": loss, "gradient": gradient,
         "Gauss-Newton product": gauss_newton, "next Gauss-Newton product": next_gauss_newton, "Hessian product": hessian, "SVD": svd,
         **{scheme: partial(newton_schulz, scheme=scheme) for scheme in SCHEMES}}
