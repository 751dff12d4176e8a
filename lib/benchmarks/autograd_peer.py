"""The tasks in HIPS autograd."""
import autograd.numpy as np
from autograd import grad
from autograd.scipy.special import logsumexp

from .array_networks import Networks, one_hot
from .problem import Job, Problem, iterated

NETWORKS = Networks(np, logsumexp)


def step(problem: Problem) -> Job:
    """One step of gradient descent."""
    outputs, size = NETWORKS.outputs(problem), problem.options["step_size"]
    onehot = one_hot(len(problem.weights[0]), problem.t, problem.weights[0].dtype)
    gradient = grad(lambda weights: NETWORKS.cross_entropy(outputs(problem.x, weights), onehot))
    descend = lambda weights: [W - size * G for W, G in zip(weights, gradient(weights), strict=True)]
    return Job(gradient(problem.weights), iterated(descend, problem.weights))


TASKS = {"step": step}
