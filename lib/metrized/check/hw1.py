"""Homework 1, gradient descent and momentum on quadratics: what is right, and what people do instead."""
import numpy as np

from . import Checker, Exercise, Law, Misconception


def spectrum(rng):
    """Positive curvatures in no order, far from equal."""
    return rng.uniform(0.2, 1, int(rng.integers(2, 6))) * rng.uniform(1, 8)


def step_and_spectrum(rng):
    """A step size on either side of the border, or exactly on it, or of the wrong sign."""
    lam = 2.0 ** rng.integers(-2, 3, int(rng.integers(2, 5)))
    lam = np.append(lam, lam.max() * 2)
    telling = [-0.25, 0.0, 1.5, 1.95, 2.0, 5.0, 100.0] * 2
    return float(rng.choice([*telling, 0.25, 0.75, 1.0, 2.5, 3.3, 12.0]) / lam.max()), rng.permutation(lam)


def stable(eta, lam):
    return bool(0 < eta < 2 / lam.max())


BORDER = "At exactly 2 / lambda the factor is -1: the error neither grows nor shrinks, and that is not convergence."

converges = Exercise(
    "converges", 10, step_and_spectrum, stable, (
        Misconception(BORDER, lambda eta, lam: bool(0 < eta <= 2 / lam.max())),
        Misconception(BORDER, lambda eta, lam: bool(eta <= 2 / lam.max())),
        Misconception("A negative step size climbs, and a step of 0 goes nowhere.", lambda eta, lam: bool(eta < 2 / lam.max())),
        Misconception("A step of 0 goes nowhere.", lambda eta, lam: bool(0 <= eta < 2 / lam.max())),
        Misconception("That is the best step, and not the border.", lambda eta, lam: bool(0 < eta <= 2 / (lam.max() + lam.min()))),
        Misconception("A factor below -1 grows as well: it is |1 - eta lambda| that must be less than 1.",
                      lambda eta, lam: bool((1 - eta * lam < 1).all())),
        Misconception("True and False are swapped.", lambda eta, lam: not stable(eta, lam)),
        Misconception("You always say True.", lambda eta, lam: True),
        Misconception("The eigenvalues come in no particular order.", lambda eta, lam: bool(0 < eta < 2 / lam[0])),
        Misconception("The eigenvalues come in no particular order.", lambda eta, lam: bool(0 < eta < 2 / lam[-1])),
        Misconception("1 / lambda is the safe step, and steps up to twice as long still converge.", lambda eta, lam: bool(0 < eta < 1 / lam.max())),
        Misconception("1 / lambda is the safe step, and steps up to twice as long still converge.", lambda eta, lam: bool(0 < eta <= 1 / lam.max())),
        Misconception("Every direction must converge, so the largest curvature decides, and not the smallest.",
                      lambda eta, lam: bool(0 < eta < 2 / lam.min())),
        Misconception("Every direction must converge; their mean does not decide.", lambda eta, lam: bool(0 < eta < 2 / lam.mean()))), (
        Law("A step size that converges goes on converging when you halve it.",
            lambda f, eta, lam: not f(eta, lam) or f(eta / 2, lam)),), instances=120)

best_step = Exercise(
    "best_step", 10, lambda rng: (spectrum(rng),), lambda lam: (2 / (lam.max() + lam.min()), (lam.max() - lam.min()) / (lam.max() + lam.min())), (
        Misconception("1 / lambda_1 is safe and not the best: the flattest direction gains from a longer step until the steepest one loses as much.",
                      lambda lam: (1 / lam.max(), 1 - lam.min() / lam.max())),
        Misconception("2 / lambda_1 is the border, where the steepest direction does not converge.",
                      lambda lam: (2 / lam.max(), 1.0)),
        Misconception("The two are swapped: first the step size, then the factor.",
                      lambda lam: ((lam.max() - lam.min()) / (lam.max() + lam.min()), 2 / (lam.max() + lam.min()))),
        Misconception("The eigenvalues come in no particular order.",
                      lambda lam: (2 / (lam[0] + lam[-1]), abs(lam[0] - lam[-1]) / (lam[0] + lam[-1]))),
        Misconception("The extremes count, and not the mean of all.", lambda lam: (1 / lam.mean(), abs(1 - lam / lam.mean()).max())),
        Misconception("The step is right; the factor is that of the slowest direction at this step, |1 - eta lambda|.",
                      lambda lam: (2 / (lam.max() + lam.min()), 1 - lam.min() / lam.max()))), (
        Law("The second thing you return should be the largest |1 - eta lambda| at the first.",
            lambda f, lam: np.isclose(f(lam)[1], abs(1 - f(lam)[0] * lam).max())),
        Law("When all curvatures double, the best step should halve.", lambda f, lam: np.isclose(f(2 * lam)[0], f(lam)[0] / 2))))


def quadratic(rng):
    """A start w, a symmetric positive definite A that is not diagonal, and b."""
    n = int(rng.integers(2, 6))
    B = rng.standard_normal((n, n))
    return rng.standard_normal(n), B @ B.T + 0.5 * np.eye(n), rng.standard_normal(n)


PULL = {"pull": (1, 2, 3, 4)}
"""How many times b^T w stands in the loss."""

gradient = Exercise(
    "gradient", 10, quadratic, lambda w, A, b, pull: A @ w + pull * b, (
        Misconception("The term with b enters the loss with a plus, and so does its gradient. (Some slides print A w - b.)",
                      lambda w, A, b, pull: A @ w - pull * b),
        Misconception("The 1/2 cancels the 2 of the square.", lambda w, A, b, pull: A @ w / 2 + pull * b),
        Misconception("The 1/2 in the loss cancels the two places where w stands.", lambda w, A, b, pull: 2 * A @ w + pull * b),
        Misconception("The entries of A off the diagonal count.", lambda w, A, b, pull: np.diag(A) * w + pull * b),
        Misconception("The term with b has a gradient too.", lambda w, A, b: A @ w),
        Misconception("The sign of the whole is reversed.", lambda w, A, b, pull: -(A @ w + pull * b))), (
        Law("When b grows by 1 in each entry, each entry of the gradient should grow by {pull}.",
            lambda f, w, A, b, pull: np.allclose(f(w, A, b + 1), np.asarray(f(w, A, b)) + pull)),), numbers=PULL)


def long_run(rng):
    """A quadratic with a step size that converges, and a number of steps."""
    w, A, b = quadratic(rng)
    return w, A, b, float(rng.uniform(1.2, 1.8) / np.linalg.eigvalsh(A)[-1]), int(rng.integers(2, 10))


def closed_form(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + U @ ((1 - eta * lam) ** t * (U.T @ (w - star)))


def without_rotation(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + (1 - eta * lam) ** t * (U.T @ (w - star))


def eigenbasis_only(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    return (1 - eta * lam) ** t * (U.T @ (w + pull * np.linalg.solve(A, b)))


def error_only(w, A, b, eta, t, pull):
    return closed_form(w, A, b, eta, t, pull) + pull * np.linalg.solve(A, b)


def wrong_minimum(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = pull * np.linalg.solve(A, b)
    return star + U @ ((1 - eta * lam) ** t * (U.T @ (w - star)))


def through_the_wrong_side(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + U.T @ ((1 - eta * lam) ** t * (U @ (w - star)))


def flow(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + U @ (np.exp(-eta * lam * t) * (U.T @ (w - star)))


def unsigned(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + U @ (abs(1 - eta * lam) ** t * (U.T @ (w - star)))


def linear_in_time(w, A, b, eta, t, pull):
    lam, U = np.linalg.eigh(A)
    star = -pull * np.linalg.solve(A, b)
    return star + U @ ((1 - eta * lam * t) * (U.T @ (w - star)))


iterate = Exercise(
    "iterate", 20, long_run, closed_form, (
        Misconception("The numbers are those of the eigenbasis: rotate back by U before you add the minimum.", without_rotation),
        Misconception("This is the error in the eigenbasis. Rotate it back and add the minimum.", eigenbasis_only),
        Misconception("This is the error. The iterate is the minimum plus the error.", error_only),
        Misconception("Your minimum has the wrong sign: put it into the gradient, which must vanish there.", wrong_minimum),
        Misconception("U and U^T have changed places: the columns of U are the eigenvectors, so U^T goes there.", through_the_wrong_side),
        Misconception("The factor is 1 - eta lambda with its sign: directions with eta lambda > 1 flip at every step.", unsigned),
        Misconception("Powers multiply: t steps give (1 - eta lambda)^t, and not 1 - eta lambda t.", linear_in_time),
        Misconception("exp(-eta lambda t) is what infinitely small steps would give; t steps give (1 - eta lambda)^t.", flow)), (
        Law("After 0 steps the iterate should be the start.", lambda f, w, A, b, eta, t: np.allclose(f(w, A, b, eta, 0), w)),
        Law("After 1 step it should be w minus eta times the gradient.",
            lambda f, w, A, b, eta, t, pull: np.allclose(f(w, A, b, eta, 1), w - eta * (A @ w + pull * b)))), numbers=PULL)


def ball(rng):
    """A start, the gradient of a quadratic as a function, a step size, beta and a number of steps."""
    w, A, b = quadratic(rng)
    eta, beta, steps = 0.8 / np.linalg.eigvalsh(A)[-1], rng.uniform(0.3, 0.9), rng.choice([3, 4, 5, 6, 7, 200])
    return w, lambda w: A @ w + b, float(eta), float(beta), int(steps)


def roll(update):
    """A method of momentum: update(w, m, gradient, eta, beta) gives the new (w, m)."""
    def run(w, gradient, eta, beta, steps):
        m = np.zeros_like(w)
        for _ in range(steps):
            w, m = update(w, m, gradient, eta, beta)
        return w
    return run


def polyak(w, m, gradient, eta, beta):
    m = beta * m + gradient(w)
    return w - eta * m, m


def averaged(w, m, gradient, eta, beta):
    m = beta * m + (1 - beta) * gradient(w)
    return w - eta * m, m


def stale(w, m, gradient, eta, beta):
    return w - eta * m, beta * m + gradient(w)


def nesterov(w, m, gradient, eta, beta):
    g = gradient(w)
    m = beta * m + g
    return w - eta * (g + beta * m), m


def corrected(w, gradient, eta, beta, steps, share):
    m = np.zeros_like(w)
    for t in range(1, steps + 1):
        m = beta * m + share * gradient(w)
        w = w - eta * m / (1 - beta ** t)
    return w


heavy_ball = Exercise(
    "heavy_ball", 15, ball, roll(polyak), (
        Misconception("The gradient enters in full: m is a fading sum, and (1 - beta) g would make it an average, that is, smaller steps.",
                      roll(averaged)),
        Misconception("The step should use the new m, which holds the present gradient.", roll(stale)),
        Misconception("This is gradient descent: the memory m never enters.", roll(lambda w, m, gradient, eta, beta: (w - eta * gradient(w), m))),
        Misconception("This is Nesterov's version, which looks ahead by beta m.", roll(nesterov)),
        Misconception("This is Nesterov's version, which takes the gradient ahead.",
                      roll(lambda w, m, gradient, eta, beta: (lambda v: (w - eta * v, v))(beta * m + gradient(w - eta * beta * m)))),
        Misconception("No correction by 1 - beta^t: that belongs to Adam's average, and this m is a sum.",
                      lambda w, gradient, eta, beta, steps: corrected(w, gradient, eta, beta, steps, 1 - beta)),
        Misconception("No correction by 1 - beta^t: that belongs to Adam's average, and this m is a sum.",
                      lambda w, gradient, eta, beta, steps: corrected(w, gradient, eta, beta, steps, 1.0)),
        Misconception("Only one step was taken: is the return inside the loop?",
                      lambda w, gradient, eta, beta, steps: roll(polyak)(w, gradient, eta, beta, 1)),
        Misconception("One step too many.", lambda w, gradient, eta, beta, steps: roll(polyak)(w, gradient, eta, beta, steps + 1)),
        Misconception("One step too few.", lambda w, gradient, eta, beta, steps: roll(polyak)(w, gradient, eta, beta, steps - 1)),
        Misconception("The ball rolls uphill: the step needs a minus.",
                      roll(lambda w, m, gradient, eta, beta: (w + eta * (beta * m + gradient(w)), beta * m + gradient(w))))), (
        Law("After one step from rest it should be one step of gradient descent.",
            lambda f, w, gradient, eta, beta, steps: np.allclose(f(w, gradient, eta, beta, 1), w - eta * gradient(w))),
        Law("With beta = 0 it should be gradient descent.",
            lambda f, w, gradient, eta, beta, steps: np.allclose(f(w, gradient, eta, 0.0, steps), roll(polyak)(w, gradient, eta, 0.0, steps)))),
    instances=6)

matrix = Exercise(
    "matrix", 15, lambda rng: (float(rng.uniform(0.2, 3)), float(rng.uniform(0.1, 0.95))),
    lambda s, beta: np.array([[1 + beta - s, -beta], [1, 0]]), (
        Misconception("The last error enters with -beta: e_t+1 = (1 + beta - s) e_t - beta e_t-1.",
                      lambda s, beta: np.array([[1 + beta - s, beta], [1, 0]])),
        Misconception("The last step, beta (e_t - e_t-1), gives e_t a share as well.", lambda s, beta: np.array([[1 - s, -beta], [1, 0]])),
        Misconception("The matrix is transposed: its first ROW makes e_t+1 out of (e_t, e_t-1).",
                      lambda s, beta: np.array([[1 + beta - s, 1], [-beta, 0]])),
        Misconception("The gradient enters in full, and not times 1 - beta.",
                      lambda s, beta: np.array([[1 + beta - (1 - beta) * s, -beta], [1, 0]])),
        Misconception("The gradient pulls back: s enters with a minus.", lambda s, beta: np.array([[1 + beta + s, -beta], [1, 0]])),
        Misconception("The order is (e_t, e_t-1), the newer one first.", lambda s, beta: np.array([[0, 1], [-beta, 1 + beta - s]])),
        Misconception("This is Nesterov's matrix.", lambda s, beta: np.array([[(1 + beta) * (1 - s), -beta * (1 - s)], [1, 0]])),
        Misconception("The second row should hand e_t down: its entries are 1 and 0.", lambda s, beta: np.array([[1 + beta - s, -beta], [0, 1]]))), (
        Law("Errors that are 0 twice stay 0, and with s = 0 a ball at rest stays where it is: (1, 1) should go to (1, 1).",
            lambda f, s, beta: np.allclose(np.asarray(f(0.0, beta)) @ [1, 1], [1, 1])),
        Law("The product of the two roots, the determinant, should be beta.", lambda f, s, beta: np.isclose(np.linalg.det(f(s, beta)), beta))))

steps = Exercise(
    "steps", 10, lambda rng: (float(rng.uniform(5, 500)), float(10.0 ** rng.uniform(-8, -1))),
    lambda kappa, accuracy, divisor: np.log(accuracy) / np.log(1 - 1 / (divisor * kappa)), (
        Misconception("exp(-x) is the usual estimate of 1 - x; this asks for the factor 1 - x itself.",
                      lambda kappa, accuracy, divisor: -divisor * kappa * np.log(accuracy)),
        Misconception("The accuracy is of the error, and not of its square.",
                      lambda kappa, accuracy, divisor: np.log(accuracy) / np.log(1 - 1 / (divisor * kappa)) / 2),
        Misconception("Do not round.", lambda kappa, accuracy, divisor: np.ceil(np.log(accuracy) / np.log(1 - 1 / (divisor * kappa)))),
        Misconception("This is the rate of momentum, with the square root of kappa.",
                      lambda kappa, accuracy, divisor: np.log(accuracy) / np.log(1 - 1 / (divisor * kappa ** 0.5))),
        Misconception("1 / (1 - x) is not 1 + x.", lambda kappa, accuracy, divisor: -np.log(accuracy) / np.log(1 + 1 / (divisor * kappa))),
        Misconception("This is for the best step size, 2 / (lambda_1 + lambda_d).",
                      lambda kappa, accuracy: np.log(accuracy) / np.log((kappa - 1) / (kappa + 1)))), (
        Law("The square of an accuracy should take twice the steps.",
            lambda f, kappa, accuracy: np.isclose(f(kappa, accuracy ** 2), 2 * f(kappa, accuracy))),), numbers={"divisor": (1, 2, 3, 4)})


def tuned(top, low):
    return (2 / (top ** 0.5 + low ** 0.5)) ** 2, ((top ** 0.5 - low ** 0.5) / (top ** 0.5 + low ** 0.5)) ** 2


best_momentum = Exercise(
    "best_momentum", 10, lambda rng: (float(rng.uniform(2, 20)), float(rng.uniform(0.05, 1))), tuned, (
        Misconception("The step size is the square of 2 / (sqrt(lambda_1) + sqrt(lambda_d)).",
                      lambda top, low: (tuned(top, low)[0] ** 0.5, tuned(top, low)[1])),
        Misconception("The root is (sqrt(kappa) - 1) / (sqrt(kappa) + 1), and beta is its square.",
                      lambda top, low: (tuned(top, low)[0], tuned(top, low)[1] ** 0.5)),
        Misconception("Square both: the root is sqrt(beta), and sqrt(eta lambda_1) = 1 + sqrt(beta).",
                      lambda top, low: (tuned(top, low)[0] ** 0.5, tuned(top, low)[1] ** 0.5)),
        Misconception("The two are swapped: first the step size, then beta.", lambda top, low: tuned(top, low)[::-1]),
        Misconception("The step size is right; in beta stands the square root of the condition number.",
                      lambda top, low: (tuned(top, low)[0], ((top - low) / (top + low)) ** 2)),
        Misconception("beta is right; the step size is that of gradient descent.", lambda top, low: (2 / (top + low), tuned(top, low)[1])),
        Misconception("beta is right; the step size is the safe one of gradient descent.", lambda top, low: (1 / top, tuned(top, low)[1])),
        Misconception("These are Nesterov's step and beta.", lambda top, low: (1 / top, tuned(top, low)[1] ** 0.5)),
        Misconception("These are the best step of gradient descent and its factor; with momentum the square roots of the curvatures enter.",
                      lambda top, low: (2 / (top + low), (top - low) / (top + low)))), (
        Law("At the best pair the flattest direction has a double root: eta lambda_d = (1 - sqrt(beta))^2.",
            lambda f, top, low: np.isclose(f(top, low)[0] * low, (1 - f(top, low)[1] ** 0.5) ** 2)),
        Law("At the best pair the steepest direction has a double root: eta lambda_1 = (1 + sqrt(beta))^2.",
            lambda f, top, low: np.isclose(f(top, low)[0] * top, (1 + f(top, low)[1] ** 0.5) ** 2))))

check = Checker(converges, best_step, gradient, iterate, heavy_ball, matrix, steps, best_momentum)
