"""The tasks in MyGrad, without its guards against writing into memory, as its documentation advises for speed."""
import mygrad
from mygrad.nnet.activations import relu
from mygrad.nnet.losses import softmax_crossentropy

from .problem import Job, Problem, iterated

mygrad.turn_memory_guarding_off()


def mlp_gradients(problem: Problem, weights: list) -> list:
    """Of the cross-entropy of an MLP."""
    *outer, first = tensors = [mygrad.tensor(W, copy=False) for W in weights]
    x = problem.x @ first.T
    for W in reversed(outer):
        x = relu(x) @ W.T
    softmax_crossentropy(x, problem.t).backward()
    return [W.grad for W in tensors]


def step(problem: Problem) -> Job:
    """One step of gradient descent. Raises Lacks for networks that are no MLP."""
    gradients, size = problem.pick({"mlp": mlp_gradients}), problem.options["step_size"]
    descend = lambda weights: [W - size * G for W, G in zip(weights, gradients(problem, weights), strict=True)]
    return Job(gradients(problem, problem.weights), iterated(descend, problem.weights))


TASKS = {"step": step}
