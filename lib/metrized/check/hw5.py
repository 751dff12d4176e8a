"""Homework 5, averages, AdamW and sharpness: what is right, and what people do instead."""
import numpy as np

from . import Checker, Exercise, Law, Misconception, _text, told


def path(rng):
    """Iterates [T, n] that drift, and a place in their middle."""
    T, n = int(rng.integers(6, 12)), int(rng.integers(1, 4))
    return np.cumsum(rng.standard_normal((T, n)), 0), int(rng.integers(0, T))


tail_average = Exercise(
    "tail_average", 10, path, lambda ws, start, spacing: ws[start::spacing].mean(0), (
        Misconception("This averages from the start: the first iterates still carry the error of the start with them.",
                      lambda ws, start, spacing: ws[::spacing].mean(0)),
        Misconception("The iterate number `start` belongs to the tail.", lambda ws, start, spacing: ws[start + 1::spacing].mean(0)),
        Misconception("This is the head that was to be left out.", lambda ws, start: ws[:start].mean(0)),
        Misconception("Divide by the number of iterates that you have added up, and not by that of all.",
                      lambda ws, start, spacing: ws[start::spacing].sum(0) / len(ws)),
        Misconception("A sum is no average.", lambda ws, start, spacing: ws[start::spacing].sum(0)),
        Misconception("The average runs over the iterates, and not over the weights.", lambda ws, start, spacing: ws[start::spacing].mean(1)),
        Misconception("This is the last iterate alone.", lambda ws, start: ws[-1])), (
        Law("When all iterates move by c, so should their average.",
            lambda f, ws, start: np.allclose(f(ws + 1, start), np.asarray(f(ws, start)) + 1)),
        Law("Iterates before `start` should not count.",
            lambda f, ws, start: np.allclose(f(np.concatenate([9 + ws[:start], ws[start:]]), start), f(ws, start)))),
    numbers={"spacing": (1, 2, 3, 4)})


def fading(correct=lambda beta, T: 1 - beta ** T, share=lambda beta: 1 - beta, first=False):
    """Exponential averages: what the sum is divided by, the share of the new, and whether the first iterate is the start."""
    def average(ws, beta):
        a, rest = (ws[0], ws[1:]) if first else (0 * ws[0], ws)
        for w in rest:
            a = (1 - share(beta)) * a + share(beta) * w
        return a / correct(beta, len(ws))
    return average


exponential_average = Exercise(
    "exponential_average", 15, lambda rng: (path(rng)[0], float(rng.choice([0.0, *rng.uniform(0.5, 0.95, 3)]))), fading(), (
        Misconception("The sum began at 0, so its weights add up to 1 - beta^T only: divide by that.", fading(lambda beta, T: 1.0)),
        Misconception("t counts from 1: after T iterates the weights add up to 1 - beta^T, and not to 1 - beta^(T-1).",
                      fading(lambda beta, T: 1 - beta ** (T - 1))),
        Misconception("One power too many: after T iterates the weights add up to 1 - beta^T.", fading(lambda beta, T: 1 - beta ** (T + 1))),
        Misconception("beta and 1 - beta have changed places: the old average keeps the share beta.", fading(share=lambda beta: beta,
                      correct=lambda beta, T: 1 - (1 - beta) ** T)),
        Misconception("beta and 1 - beta have changed places: the old average keeps the share beta.", fading(share=lambda beta: beta)),
        Misconception("beta and 1 - beta have changed places, and the correction is missing.", fading(lambda beta, T: 1.0, lambda beta: beta)),
        Misconception("This begins at the first iterate, which then counts 1 / (1 - beta) times as much as it should. Begin at 0 and correct.",
                      fading(lambda beta, T: 1.0, first=True)),
        Misconception("Either begin at the first iterate, or begin at 0 and correct; both together is too much.", fading(first=True)),
        Misconception("All iterates count alike here. The recent ones should count more.", lambda ws, beta: ws.mean(0))), (
        Law("An average of equal iterates should be that iterate.", lambda f, ws, beta: np.allclose(f(0 * ws + 3, beta), 3)),
        Law("With beta = 0 only the last iterate should count.", lambda f, ws, beta: np.allclose(f(ws, 0.0), ws[-1]))))


def adam_input(rng):
    """A gradient, running means from earlier steps, the number of this step, and Adam's constants; eps is large enough to matter."""
    n = int(rng.integers(2, 5))
    t = int(rng.choice([1, 1, 2, 3, 5, 8]))
    m, v = (0.0 if t == 1 else 1.0) * rng.standard_normal(n), (0.0 if t == 1 else 1.0) * rng.uniform(0.1, 2, n)
    return rng.standard_normal(n), m, v, t, float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.8, 0.99)), 0.1


def adam(correct_m=lambda b, t: 1 - b ** t, correct_v=lambda b, t: 1 - b ** t, below=lambda v, eps: np.sqrt(v) + eps, square=lambda g: g * g, sign=-1,
         mean=lambda b, m, g: b * m + (1 - b) * g):
    """Adam with parts exchanged."""
    def step(g, m, v, t, eta, beta1, beta2, eps):
        m, v = mean(beta1, m, g), mean(beta2, v, square(g))
        return sign * eta * m / correct_m(beta1, t) / below(v / correct_v(beta2, t), eps), m, v
    return step


one = lambda b, t: 1.0
ROOT = "eps stands outside of the root: sqrt(v) + eps. Inside, 1e-8 counts as its root, 1e-4, where v is small."
NEWEST = "Use the new m and v, which hold the present gradient, in this very step."


def stale(g, m, v, t, eta, beta1, beta2, eps):
    new_m, new_v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return -eta * m / (1 - beta1 ** t) / (np.sqrt(v / (1 - beta2 ** t)) + eps), new_m, new_v


def corrected_for_good(g, m, v, t, eta, beta1, beta2, eps):
    step, m, v = adam()(g, m, v, t, eta, beta1, beta2, eps)
    return step, m / (1 - beta1 ** t), v / (1 - beta2 ** t)


def adam_of_the_paper(g, m, v, t, eta, beta1, beta2, eps):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return -eta * np.sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * m / (np.sqrt(v) + eps), m, v


adam_step = Exercise(
    "adam_step", 15, adam_input, adam(), (
        Misconception("The bias of m and v is not corrected: divide them by 1 - beta1^t and 1 - beta2^t.", adam(one, one)),
        Misconception("v has a bias as well: divide it by 1 - beta2^t.", adam(correct_v=one)),
        Misconception("m has a bias as well: divide it by 1 - beta1^t.", adam(correct_m=one)),
        Misconception("t counts from 1: it is the number of this step already, no need to add 1.",
                      adam(lambda b, t: 1 - b ** (t + 1), lambda b, t: 1 - b ** (t + 1))),
        Misconception("t counts from 1, so that the first correction divides by 1 - beta and not by 0.",
                      adam(lambda b, t: 1 - b ** (t - 1), lambda b, t: 1 - b ** (t - 1))),
        Misconception("The correction divides by 1 - beta^t, a power, and not by 1 - beta t or t (1 - beta).",
                      adam(lambda b, t: t * (1 - b), lambda b, t: t * (1 - b))),
        Misconception("The correction divides by 1 - beta^t, at every step anew, and not by 1 - beta.", adam(lambda b, t: 1 - b, lambda b, t: 1 - b)),
        Misconception(ROOT, adam(below=lambda v, eps: np.sqrt(v + eps))),
        Misconception(ROOT, adam(below=lambda v, eps: np.sqrt(v + eps * eps))),
        Misconception("v is the mean of g^2; divide by its root.", adam(below=lambda v, eps: v + eps)),
        Misconception("eps is missing.", adam(below=lambda v, eps: np.sqrt(v))),
        Misconception("v is the mean of g^2, and not of |g|.", adam(square=abs)),
        Misconception("The step climbs: it needs a minus.", adam(sign=1)),
        Misconception("The gradient enters with the share 1 - beta: these are averages, and not Polyak's fading sums.",
                      adam(mean=lambda b, m, g: b * m + g)),
        Misconception("beta and 1 - beta have changed places.", adam(mean=lambda b, m, g: (1 - b) * m + b * g)),
        Misconception(NEWEST, stale),
        Misconception("The step size is missing.", lambda g, m, v, t, eta, *rest: adam()(g, m, v, t, 1.0, *rest)),
        Misconception("beta1 belongs to m and beta2 to v.", lambda g, m, v, t, eta, b1, b2, eps: adam()(g, m, v, t, eta, b2, b1, eps)),
        Misconception("First the step, then m and v.", lambda *given: (lambda d, m, v: (m, v, d))(*adam()(*given))),
        Misconception("This order of the formula divides eps by the correction as well; the formula above adds eps to the corrected root.",
                      adam_of_the_paper),
        Misconception("Return m and v as they are; corrected ones, kept, would be corrected again in the next step.", corrected_for_good)))


def adamw_input(rng):
    """Weights, then as for Adam, then a decay."""
    given = adam_input(rng)
    return (rng.standard_normal(len(given[0])), *given, float(rng.uniform(0.05, 0.5)))


def adamw(decay_of=lambda eta, decay, strength: strength * eta * decay, **parts):
    def step(w, g, m, v, t, eta, beta1, beta2, eps, decay, strength):
        d, m, v = adam(**parts)(g, m, v, t, eta, beta1, beta2, eps)
        return (1 - decay_of(eta, decay, strength)) * w + d, m, v
    return step


def l2(w, g, m, v, t, eta, beta1, beta2, eps, decay, strength):
    d, m, v = adam()(g + strength * decay * w, m, v, t, eta, beta1, beta2, eps)
    return w + d, m, v


def after_the_step(w, g, m, v, t, eta, beta1, beta2, eps, decay, strength):
    d, m, v = adam()(g, m, v, t, eta, beta1, beta2, eps)
    return (1 - strength * eta * decay) * (w + d), m, v


def the_step_alone(w, g, m, v, t, eta, beta1, beta2, eps, decay, strength):
    new, m, v = adamw()(w, g, m, v, t, eta, beta1, beta2, eps, decay, strength)
    return new - w, m, v


adamw_step = Exercise(
    "adamw_step", 15, adamw_input, adamw(), (
        Misconception("This is L2, a penalty in the gradient: Adam then divides the decay by sqrt(v) like everything else. Decoupled decay never "
                      "meets m and v.", l2),
        Misconception("This is the independent form, in which eta does not enter the decay. In PyTorch's, and here, it does.",
                      adamw(lambda eta, decay, strength: strength * decay)),
        Misconception("No decay has happened.", adamw(lambda eta, decay, strength: 0.0)),
        Misconception("The weights grow: decay shrinks them.", adamw(lambda eta, decay, strength: -strength * eta * decay)),
        Misconception("The old weights decay, and not the step that is taken from them.", after_the_step),
        Misconception("This is the step alone. Asked are the new weights.", the_step_alone),
        Misconception("The sign of the step is reversed, so it climbs. (Does the step of (a) carry its minus already?)", adamw(sign=1)),
        Misconception(ROOT, adamw(below=lambda v, eps: np.sqrt(v + eps))),
        Misconception("The bias of m and v is not corrected.", adamw(correct_m=one, correct_v=one))), (
        Law("Without decay it should be Adam.", lambda f, w, g, m, v, t, eta, b1, b2, eps, decay:
            np.allclose(f(w, g, m, v, t, eta, b1, b2, eps, 0.0)[0], w + adam()(g, m, v, t, eta, b1, b2, eps)[0])),
        Law("What the decay takes from the weights should not depend on the gradient.", lambda f, w, g, m, v, t, eta, b1, b2, eps, decay:
            np.allclose(f(w, g, m, v, t, eta, b1, b2, eps, decay)[0] - f(w, g, m, v, t, eta, b1, b2, eps, 0.0)[0],
                        f(w, 9 * g, m, v, t, eta, b1, b2, eps, decay)[0] - f(w, 9 * g, m, v, t, eta, b1, b2, eps, 0.0)[0]))), instances=12,
    numbers={"strength": (1, 2, 3, 4)})


def symmetric(rng):
    """A product with a symmetric matrix, with now the most negative, now the largest eigenvalue farther from 0; a start, a number of steps."""
    n = int(rng.integers(4, 8))
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = Q @ np.diag(np.linspace(-1, 1, n) * rng.uniform(1, 3) + float(rng.choice([-0.7, 0.7, -4.0]))) @ Q.T
    return told(lambda v: A @ v, f"A v with A = {_text(A)}"), rng.standard_normal(n), int(rng.integers(2, n))


def lanczos(product, start, steps, normalize=True, back=True, own=True):
    """Diagonal and off-diagonal of Lanczos, each new vector orthogonalized twice against all before."""
    q = start / np.linalg.norm(start) if normalize else start
    basis, diagonal, off = [q], [], []
    for _ in range(steps):
        u = product(basis[-1])
        diagonal.append(basis[-1] @ u)
        for _ in range(2):
            for q in basis if back else basis[-1:]:
                u = u - (q @ u) * q if own else u
        off.append(np.linalg.norm(u))
        basis.append(u / off[-1])
    return np.array(diagonal), np.array(off[:-1]), basis[:steps]


def no_ghosts(f):
    """Whether an eigenvalue far above the others is found once."""
    spectrum = np.append(np.linspace(0, 1, 59), 100.0)
    return values(*f(lambda v: spectrum * v, np.ones(60), 40))[-2] < 2


def power_quotients(product, start, steps):
    v, found = start / np.linalg.norm(start), []
    for _ in range(steps):
        u = product(v)
        found.append(v @ u)
        v = u / np.linalg.norm(u)
    return np.array(found)


tridiagonal = Exercise(
    "tridiagonal", 15, symmetric, lambda product, start, steps: lanczos(product, start, steps)[:2], (
        Misconception("Note <q, u> before you take the parts away from u; afterwards it is 0.",
                      lambda product, start, steps: (np.zeros(steps), lanczos(product, start, steps)[1])),
        Misconception("Scale the start to length 1 first.", lambda product, start, steps: lanczos(product, start, steps, normalize=False)[:2]),
        Misconception("Between the products the new vector must be made orthogonal to those before; this is the power method.",
                      lambda product, start, steps: (power_quotients(product, start, steps), lanczos(product, start, steps)[1])),
        Misconception("The new vector must be orthogonal to ALL before; you took away the part along the last one only.",
                      lambda product, start, steps: lanczos(product, start, steps, back=False)[:2]),
        Misconception("Between `steps` vectors there are steps - 1 off-diagonal numbers; you kept the last one, which leads out.",
                      lambda product, start, steps: (lanczos(product, start, steps)[0], lanczos(product, start, steps + 1)[1])),
        Misconception("The off-diagonal numbers are lengths, and not squares of lengths.",
                      lambda product, start, steps: (lanczos(product, start, steps)[0], lanczos(product, start, steps)[1] ** 2)),
        Misconception("First the diagonal, then the numbers beside it.", lambda product, start, steps: lanczos(product, start, steps)[1::-1])), (),
    laws_of_a_right_answer=(
        Law("Right in small cases. But after 40 steps the eigenvalue 100 appears twice, since rounding has brought its direction back: take away the "
            "parts along ALL vectors before.", lambda f, product, start, steps: no_ghosts(f)),), instances=8)


def ritz(product, start, steps):
    diagonal, off, _ = lanczos(product, start, steps)
    return np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))


def tridiagonals(rng):
    """What Lanczos gives; one of the two ends of the spectrum is farther from 0, now the upper, now the lower."""
    product, start, steps = symmetric(rng)
    return lanczos(product, start, steps + 1)[:2]


def values(diagonal, off):
    return np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))


top_curvature = Exercise(
    "top_curvature", 10, tridiagonals, lambda diagonal, off: values(diagonal, off)[-1], (
        Misconception("This is the largest |lambda|. The sharpness is the largest lambda: a curvature of -5 limits no step size.",
                      lambda diagonal, off: abs(values(diagonal, off)).max()),
        Misconception("This is the eigenvalue farthest from 0. The sharpness is the largest, even where a negative one is farther away.",
                      lambda diagonal, off: max(values(diagonal, off), key=abs)),
        Misconception("This is the smallest eigenvalue; eigvalsh sorts them in ascending order.", lambda diagonal, off: values(diagonal, off)[0]),
        Misconception("This is the largest number on the diagonal. (eigvalsh reads the lower triangle: the numbers belong below the diagonal, too.)",
                      lambda diagonal, off: diagonal.max()),
        Misconception("The matrix is symmetric: the numbers stand above AND below the diagonal.",
                      lambda diagonal, off: values(diagonal, off / 2)[-1]),
        Misconception("This is a sum of all eigenvalues, the trace.", lambda diagonal, off: diagonal.sum())), instances=32)


def bent(rng):
    """The gradient of a polynomial of degree four, a point, and a unit vector."""
    n = int(rng.integers(2, 5))
    B, T = rng.standard_normal((n, n)), rng.standard_normal((n, n, n))
    A, T = B + B.T, sum(T.transpose(p) for p in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))) / 6
    gradient = lambda w: A @ w + 0.5 * (T @ w) @ w + np.sin(2 * w)
    u = rng.standard_normal(n)
    return told(gradient, f"A w + 1/2 T[w, w] + sin(2 w) with A = {_text(A)} and T = {_text(T)}"), rng.standard_normal(n), u / np.linalg.norm(u)


def second_difference(gradient, w, u, h=1e-3):
    return (gradient(w + h * u) - 2 * gradient(w) + gradient(w - h * u)) / h ** 2


def slope(gradient, w, u, h=1e-3):
    return (gradient(w + h * u) - gradient(w - h * u)) / (2 * h)


sharpness_gradient = Exercise(
    "sharpness_gradient", 12, bent, second_difference, (
        Misconception("This is H u, a first difference of gradients. Asked is the second difference along u.", slope),
        Misconception("The Taylor term is h^2/2, and the two sides together give h^2: no 2 and no 1/2 is left.",
                      lambda f, w, u: second_difference(f, w, u) / 2),
        Misconception("The Taylor term is h^2/2, and the two sides together give h^2: no 2 and no 1/2 is left.",
                      lambda f, w, u: 2 * second_difference(f, w, u)),
        Misconception("The sign is reversed: outer points minus twice the middle.", lambda f, w, u: -second_difference(f, w, u)),
        Misconception("This is the slope of the sharpness along u alone. Asked is the whole gradient.",
                      lambda f, w, u: u @ second_difference(f, w, u)),
        Misconception("The second difference is a vector already, and not a number along u: do not multiply by u.",
                      lambda f, w, u: u * second_difference(f, w, u)),
        Misconception("The second difference is a vector already: its part along u is not all of it.",
                      lambda f, w, u: u * (u @ second_difference(f, w, u))),
        Misconception("The three gradients are to be taken around w, and not around 0.", lambda f, w, u: second_difference(f, 0 * w, u))), (
        Law("Near, but not to three digits. Is h too large, too small (rounding is divided by h^2), or are the points not on both sides of w?",
            lambda s, f, w, u: np.linalg.norm(s(f, w, u) - second_difference(f, w, u)) > 0.1 * np.linalg.norm(second_difference(f, w, u))),
        Law("For a quadratic, whose curvature is the same everywhere, it should be 0. (If it is, this is rounding: h is too small.)",
            lambda s, f, w, u: np.allclose(s(lambda z: 3 * z, w, u), 0, atol=1e-4))), tolerance=1e-3)

self_stabilization = Exercise(
    "self_stabilization", 8, lambda rng: (rng.standard_normal(int(rng.integers(2, 5))), float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.2, 1.5))),
    lambda slope, eta, x, swings: -swings * eta * x ** 2 / 2 * slope, (
        Misconception("The sharpness falls: gradient descent moves AGAINST the third-order term.",
                      lambda slope, eta, x, swings: swings * eta * x ** 2 / 2 * slope),
        Misconception("The Taylor expansion has x^2 / 2.", lambda slope, eta, x, swings: -swings * eta * x ** 2 * slope),
        Misconception("It is of second order in the amplitude: x^2, so that both sides of the valley push the same way.",
                      lambda slope, eta, x, swings: -swings * eta * x * slope),
        Misconception("It is of second order in the amplitude: x^2, so that both sides of the valley push the same way.",
                      lambda slope, eta, x, swings: -swings * eta * x / 2 * slope),
        Misconception("A step of gradient descent is eta times a gradient.", lambda slope, eta, x, swings: -swings * x ** 2 / 2 * slope)), (
        Law("An amplitude of x and one of -x should give the same.", lambda f, slope, eta, x: np.allclose(f(slope, eta, -x), f(slope, eta, x))),
        Law("When the step size doubles, so should the drift.",
            lambda f, slope, eta, x: np.allclose(f(slope, 2 * eta, x), 2 * np.asarray(f(slope, eta, x))))), numbers={"swings": (1, 2, 3, 4)})

check = Checker(tail_average, exponential_average, adam_step, adamw_step, tridiagonal, top_curvature, sharpness_gradient, self_stabilization)
