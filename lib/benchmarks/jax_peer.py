"""The tasks in JAX, each compiled as a whole; weights are given up to the step that replaces them."""
from collections.abc import Callable
from functools import partial
from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np

from .array_networks import Networks, one_hot
from .problem import SCHEMES, Job, Problem

jax.config.update("jax_enable_x64", True)  # for Hessian products; arrays keep the type that they come with
NETWORKS = Networks(jnp, jax.nn.logsumexp)


def convnet(x, weights):
    """x: [n, height, width, c]; kernels [k, k, out, in]."""
    out, *kernels = weights
    for W in reversed(kernels):
        x = jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=("NHWC", "HWOI", "NHWC"))
        n, height, width, c = x.shape
        x = jnp.maximum(x, 0).reshape(n, height // 2, 2, width // 2, 2, c).mean((2, 4))
    return x.reshape(len(x), -1) @ out.T


class Net:
    """outputs(weights), loss(weights) and the weights."""

    def __init__(self, problem: Problem):
        outputs = convnet if problem.network == "conv" else NETWORKS.outputs(problem)
        x, dtype = jnp.asarray(problem.x), problem.weights[0].dtype
        onehot = jnp.asarray(one_hot(problem.weights[0].shape[-2], problem.t, dtype))
        self.weights = list(map(jnp.asarray, problem.weights))
        self.outputs = lambda weights: outputs(x, weights)
        self.loss_of = lambda y: NETWORKS.cross_entropy(y, onehot)
        self.loss = lambda weights: self.loss_of(self.outputs(weights))


def arrays(tree) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(tree)]


def stepping(step: Callable, weights: list, answers) -> Job:
    """Steps of a compiled function, from copies of the weights, since they are given up; waits for the last one."""
    step = jax.jit(step, donate_argnums=0)

    def repeat(n):
        w = list(map(jnp.array, weights))
        for _ in range(n):
            w = step(w)
        jax.block_until_ready(w)

    repeat(1)
    return Job(arrays(answers), repeat)


def answered(task: Callable, *arguments) -> Job:
    """A compiled function of arrays, called again and again."""
    task = jax.jit(task)

    def repeat(n):
        for _ in range(n):
            y = task(*arguments)
        jax.block_until_ready(y)

    return Job(arrays(task(*arguments)), repeat)


def updated(weights, step_size, directions):
    return [W - step_size * D for W, D in zip(weights, directions, strict=True)]


def step(problem: Problem) -> Job:
    net = Net(problem)
    gradient, size = jax.grad(net.loss), problem.options["step_size"]
    return stepping(lambda w: updated(w, size, gradient(w)), net.weights, jax.jit(gradient)(net.weights))


def newton_schulz(G):
    """The iteration of metrized.linalg.newton_schulz in six steps."""
    if G.shape[0] > G.shape[1]:
        return newton_schulz(G.T).T
    X = G / jnp.linalg.norm(G)
    if X.shape[1] >= 3 * X.shape[0]:
        return factor(X @ X.T) @ X
    for a, b, c in SCHEMES["SIX_STEP"]:
        A = X @ X.T
        X = a * X + (b * A + c * (A @ A)) @ X
    return X


def factor(A):
    """F with newton_schulz(X) = F X, from A = X X^T alone, as in metrized.linalg."""
    F = P = polynomial(A, *SCHEMES["SIX_STEP"][0])
    for coefficients in SCHEMES["SIX_STEP"][1:]:
        A = P @ A @ P
        P = polynomial(A, *coefficients)
        F = P @ F
    return F


def polynomial(A, a: float, b: float, c: float):
    """a I + b A + c A^2."""
    return a * jnp.eye(len(A), dtype=A.dtype) + b * A + c * (A @ A)


def dualized_step(problem: Problem) -> Job:
    net, size = Net(problem), problem.options["step_size"]
    dual = lambda gradients: [sqrt(G.shape[0] / G.shape[1]) / len(gradients) * newton_schulz(G) for G in gradients]
    gradient = jax.grad(net.loss)
    both = jax.jit(lambda w: (dual(gradient(w)), gradient(w)))
    return stepping(lambda w: updated(w, size, dual(gradient(w))), net.weights, both(net.weights))


def ensemble(problem: Problem) -> Job:
    net = Net(problem)
    gradient, sizes = jax.vmap(jax.grad(net.loss)), jnp.asarray(problem.options["step_sizes"], jnp.float32)[:, None, None]
    return stepping(lambda w: updated(w, sizes, gradient(w)), net.weights, jax.jit(gradient)(net.weights))


def curved(net: Net, y, Jv):
    """l'' J v."""
    return jax.jvp(jax.grad(net.loss_of), (y,), (Jv,))[1]


def gauss_newton(problem: Problem) -> Job:
    net, v = Net(problem), list(map(jnp.asarray, problem.direction()))

    def product(w, v):
        y, Jv = jax.jvp(net.outputs, (w,), (v,))
        return jax.vjp(net.outputs, w)[1](curved(net, y, Jv))

    return answered(product, net.weights, v)


def next_gauss_newton(problem: Problem) -> Job:
    net, v = Net(problem), list(map(jnp.asarray, problem.direction()))
    y, push = jax.jit(partial(jax.linearize, net.outputs))(net.weights)
    pull = jax.jit(partial(jax.vjp, net.outputs))(net.weights)[1]
    return answered(lambda push, pull, y, v: pull(curved(net, y, push(v))), push, pull, y, v)


def hessian(problem: Problem) -> Job:
    net, v = Net(problem), list(map(jnp.asarray, problem.direction()))
    return answered(lambda w, v: jax.jvp(jax.grad(net.loss), (w,), (v,))[1], net.weights, v)


TASKS = {"step": step, "dualized step": dualized_step, "ensemble": ensemble, "Gauss-Newton product": gauss_newton,
         "next Gauss-Newton product": next_gauss_newton, "Hessian product": hessian}
