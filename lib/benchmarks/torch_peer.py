"""The tasks in PyTorch, each in the fastest plain form that we know."""
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np
import torch

from .problem import SCHEMES, Job, Lacks, Problem, repeated
from .torch_networks import Network, arrays, attend_in_steps, network

torch.set_num_threads(1)
F, Tensor = torch.nn.functional, torch.Tensor


def newton_schulz(G: Tensor, scheme: list = SCHEMES["SIX_STEP"]) -> Tensor:
    """The iteration of metrized.linalg.newton_schulz, with its short cut for long matrices where that pays."""
    if G.shape[0] > G.shape[1]:
        return newton_schulz(G.T, scheme).T
    X = G / torch.linalg.norm(G)
    return factor(X @ X.T, scheme) @ X if X.shape[1] >= 3 * X.shape[0] >= 96 else iterate(X, scheme)


def iterate(X: Tensor, scheme: list) -> Tensor:
    """The iteration as it was published, with the sums fused into the products."""
    for a, b, c in scheme:
        A = X @ X.T
        X = torch.addmm(X, torch.addmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def as_published(G: Tensor) -> Tensor:
    """newton_schulz without the short cut for long matrices."""
    return as_published(G.T).T if G.shape[0] > G.shape[1] else iterate(G / torch.linalg.norm(G), SCHEMES["SIX_STEP"])


def factor(A: Tensor, scheme: list) -> Tensor:
    """F with newton_schulz(X) = F X, from A = X X^T alone, as in metrized.linalg: no product is as long as X."""
    F = P = polynomial(A, *scheme[0])
    for coefficients in scheme[1:]:
        A = P @ A @ P
        P = polynomial(A, *coefficients)
        F = P @ F
    return F


def polynomial(A: Tensor, a: float, b: float, c: float) -> Tensor:
    """a I + b A + c A^2."""
    P = torch.addmm(A, A, A, beta=b, alpha=c)
    P.diagonal().add_(a)
    return P


def dual(gradients: list[Tensor], polar: Callable = newton_schulz) -> list[Tensor]:
    """The dual map of an MLP in the modular norm: every layer moves by sqrt(fan_out / fan_in) / layers."""
    return [sqrt(G.shape[0] / G.shape[1]) / len(gradients) * polar(G) for G in gradients]


def plain(f: Callable) -> Callable:
    """f as it is: what torch.compile is in the eager peer."""
    return f


class Training:
    """Steps w <- w - step_size * direction(gradients), in place; direction None is the identity."""

    def __init__(self, net: Network, step_size: float, compiler: Callable = plain, direction: Callable | None = None):
        self.net, self.loss, self.step_size = net, compiler(net.loss), step_size
        self.direction = direction and compiler(torch.no_grad()(direction))
        self.first, self.weights = [W.clone() for W in net.weights], [W.requires_grad_() for W in net.weights]

    @torch.no_grad()
    def restart(self) -> None:
        torch._foreach_copy_(self.weights, self.first)

    def gradients(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.loss(self.weights), self.weights)

    def step(self) -> None:
        g = self.gradients()
        with torch.no_grad():
            torch._foreach_add_(self.weights, self.direction(g) if self.direction else g, alpha=-self.step_size)

    def job(self) -> Job:
        """Answers: direction, gradients. The first step is taken, so that all is compiled."""
        g = self.gradients()
        answers = (self.net.back(self.direction(g)) if self.direction else []) + self.net.back(g)
        self.step()
        return Job(answers, repeated(self.step, self.restart))


def with_modules(problem: Problem) -> Job:
    """Steps of an MLP as most people write them: nn.Sequential, backward, optim.SGD."""
    if problem.network != "mlp":
        raise Lacks(problem.network)
    layers = [torch.nn.Linear(W.shape[1], W.shape[0], bias=False) for W in reversed(problem.weights)]
    net = torch.nn.Sequential(*[module for layer in layers for module in (layer, torch.nn.ReLU())][:-1])
    x, t, optimizer = torch.tensor(problem.x), torch.tensor(problem.t), torch.optim.SGD(net.parameters(), lr=problem.options["step_size"])
    first = list(map(torch.tensor, reversed(problem.weights)))

    @torch.no_grad()
    def restart():
        torch._foreach_copy_(list(net.parameters()), first)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(x), t).backward()
        optimizer.step()

    restart()
    step()
    return Job(arrays([layer.weight.grad for layer in reversed(layers)]), repeated(step, restart))


def one_by_one(problem: Problem) -> Job:
    """A step of each network of an ensemble after the other."""
    alone = [Training(network(replace(problem, weights=list(layers))), step_size)
             for *layers, step_size in zip(*problem.weights, problem.options["step_sizes"], strict=True)]
    answers = [np.stack(layer) for layer in zip(*(arrays(one.gradients()) for one in alone), strict=True)]
    return Job(answers, repeated(lambda: [one.step() for one in alone], lambda: [one.restart() for one in alone]))


def stacked(x: Tensor, weights: list[Tensor]) -> Tensor:
    """`mlp` of some networks at once: weights [K, m, n], x [n, features], outputs [K, n, 10]."""
    *outer, first = weights
    x = torch.matmul(x, first.mT)
    for W in reversed(outer):
        x = torch.bmm(F.relu(x), W.mT)
    return x


def ensemble(problem: Problem) -> Job:
    """A step of all networks of an ensemble side by side: the sum of their losses has the gradient of each."""
    net = network(problem)
    weights, K = [W.requires_grad_() for W in net.weights], len(net.weights[0])
    first, sizes = [W.detach().clone() for W in weights], torch.tensor(problem.options["step_sizes"])[:, None, None]
    labels = net.t.repeat(K)
    loss = lambda: F.cross_entropy(stacked(net.x, weights).flatten(0, 1), labels, reduction="sum") / len(net.t)
    gradients = lambda: torch.autograd.grad(loss(), weights)

    @torch.no_grad()
    def step(g):
        for W, G in zip(weights, g, strict=True):
            W.addcmul_(G, sizes, value=-1)

    return Job(arrays(gradients()), repeated(lambda: step(gradients()), torch.no_grad()(lambda: torch._foreach_copy_(weights, first))))


def answered(net: Network, task: Callable) -> Job:
    """A task that is repeated as it is, and answers what it returns."""
    return Job(net.back(task()), repeated(task))


def directed(problem: Problem) -> tuple[Network, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The network, its weights, and a direction. Attention is written out: the fused one has no forward mode."""
    net = network(problem, attend=attend_in_steps)
    return net, tuple(net.weights), tuple(map(torch.tensor, problem.direction()))


def gauss_newton(problem: Problem) -> Job:
    """J^T l'' J v by forward mode, then by reverse mode."""
    net, weights, v = directed(problem)
    outputs = lambda *weights: net.outputs(net.x, weights)

    def task():
        y, Jv = torch.func.jvp(outputs, weights, v)
        curved = torch.func.jvp(torch.func.grad(net.loss_of), (y,), (Jv,))[1]
        return torch.func.vjp(outputs, *weights)[1](curved)

    return answered(net, task)


def hessian(problem: Problem) -> Job:
    """H v by forward over reverse mode."""
    net, weights, v = directed(problem)
    slope = torch.func.grad(lambda *weights: net.loss(weights), tuple(range(len(weights))))
    return answered(net, lambda: torch.func.jvp(slope, weights, v)[1])


def orthogonalizer(problem: Problem, polar: Callable) -> Job:
    """A map of one matrix to another."""
    G = torch.tensor(problem.weights[0])
    return Job(arrays([polar(G)]), repeated(lambda: polar(G)))


def svd_polar(G: Tensor) -> Tensor:
    U, _, Vt = torch.linalg.svd(G, full_matrices=False)
    return U @ Vt


def tasks(compiler: Callable) -> dict[str, Callable[[Problem], Job]]:
    """Steps, with functions compiled by `compiler`."""
    size = lambda p: p.options["step_size"]
    return {"step": lambda p: Training(network(p), size(p), compiler).job(),
            "step, channels last": lambda p: Training(network(p, torch.channels_last), size(p), compiler).job(),
            "dualized step": lambda p: Training(network(p), size(p), compiler, dual).job(),
            "dualized step, as published": lambda p: Training(network(p), size(p), compiler, partial(dual, polar=as_published)).job()}


TASKS = {
    **tasks(plain), "step, with modules": with_modules, "one by one": one_by_one, "ensemble": ensemble,
    "Gauss-Newton product": gauss_newton, "Hessian product": hessian, "SVD": partial(orthogonalizer, polar=svd_polar),
    **{name: partial(orthogonalizer, polar=partial(newton_schulz, scheme=scheme)) for name, scheme in SCHEMES.items()}}
