"""Homework 3, second-order methods: what is right, and what people do instead."""
import numpy as np

from . import Checker, Exercise, Law, Misconception, _text, told


def bent(rng):
    """A gradient function that is not linear, a point and a direction: L = w^T A w / 2 + sum w^4 / 4."""
    n = int(rng.integers(2, 6))
    B = rng.standard_normal((n, n))
    A = B @ B.T
    return told(lambda w: A @ w + w ** 3, f"A w + w^3 with A = {_text(A)}"), rng.standard_normal(n), rng.standard_normal(n)


def product(gradient, w, v, h=1e-5):
    return (gradient(w + h * v) - gradient(w - h * v)) / (2 * h)


hessian_product = Exercise(
    "hessian_product", 25, bent, product, (
        Misconception("Half a Hessian: the distance between w + h v and w - h v is 2 h, and not 4 h.", lambda f, w, v: product(f, w, v) / 2),
        Misconception("The distance between w + h v and w - h v is 2 h, and not h.", lambda f, w, v: product(f, w, v) * 2),
        Misconception("This is the Hessian at the origin: the two gradients are to be taken around w.", lambda f, w, v: product(f, 0 * w, v)),
        Misconception("The two gradients lie on either side of w along v; their order is reversed.", lambda f, w, v: -product(f, w, v)),
        Misconception("This is a number, <v, H v>. Asked is the vector H v.", lambda f, w, v: v @ product(f, w, v)),
        Misconception("w and v have changed places: the two gradients are to be taken at w + h v and w - h v.", lambda f, w, v: product(f, v, w)),
        Misconception("This is the gradient at v, as if the gradient were linear.", lambda f, w, v: f(v))), (
        Law("Nearly right, but not to four digits. Is the step h too large (the gradient bends) or too small (rounding)?",
            lambda s, f, w, v: not np.allclose(s(f, w, v), product(f, w, v), rtol=0.2, atol=0.1)),
        Law("When the direction doubles, so should the product.",
            lambda s, f, w, v: np.allclose(s(f, w, 2 * v), 2 * np.asarray(s(f, w, v)), rtol=1e-3)),
        Law("For a quadratic with Hessian A it should be A v.",
            lambda s, f, w, v: np.allclose(s(lambda u: 3 * u, w, v), 3 * v, rtol=1e-3))), tolerance=1e-4)


def curvatures(rng):
    """An orthogonal matrix and as many curvatures, of both signs, none near 0."""
    n = int(rng.integers(2, 6))
    return np.linalg.qr(rng.standard_normal((n, n)))[0], rng.uniform(0.5, 3, n) * np.where(np.arange(n) % 2, 1, -1)


def local(rng):
    """The gradient and Hessian of a loss as functions, and a point; curvatures of both signs there, none near 0, that change from place to place."""
    Q, lam = curvatures(rng)
    w = rng.standard_normal(len(lam))
    A = Q @ np.diag(lam) @ Q.T - 3 * np.diag(w ** 2)
    text = f"with A = {_text(A)}"
    return told(lambda w: A @ w + w ** 3, f"A w + w^3 {text}"), told(lambda w: A + 3 * np.diag(w ** 2), "A + 3 diag(w^2)"), w


newton_step = Exercise(
    "newton_step", 15, local, lambda g, H, w: -np.linalg.solve(H(w), g(w)), (
        Misconception("This step climbs: Newton's step is MINUS the inverse Hessian times the gradient.",
                      lambda g, H, w: np.linalg.solve(H(w), g(w))),
        Misconception("The Hessian belongs to the point where you stand, and not to the minimum (some slides print it so).",
                      lambda g, H, w: -np.linalg.solve(H(0 * w), g(w))),
        Misconception("Half a Hessian: minimizing <g, d> + 1/2 <H d, d> gives g + H d = 0; the 1/2 is gone.",
                      lambda g, H, w: -2 * np.linalg.solve(H(w), g(w))),
        Misconception("The Hessian is to be inverted, and not multiplied with.", lambda g, H, w: -H(w) @ g(w)),
        Misconception("This divides by the diagonal of the Hessian alone.", lambda g, H, w: -g(w) / np.diag(H(w))),
        Misconception("This is gradient descent.", lambda g, H, w: -g(w)),
        Misconception("This is the saddle-free step of (b). Newton's own step goes to where the model is stationary, uphill or down.",
                      lambda g, H, w: by_curvature(abs)(g(w), H(w))),
        Misconception("This is where the step leads. Asked is the step.", lambda g, H, w: w - np.linalg.solve(H(w), g(w)))))


def indefinite(rng):
    """A gradient and a symmetric Hessian with curvatures of both signs."""
    Q, lam = curvatures(rng)
    return rng.standard_normal(len(lam)), Q @ np.diag(lam) @ Q.T


def by_curvature(change):
    def step(g, H):
        lam, U = np.linalg.eigh(H)
        return -U @ ((U.T @ g) / change(lam))
    return step


saddle_free = Exercise(
    "saddle_free", 10, indefinite, by_curvature(abs), (
        Misconception("This is Newton's own step, which climbs along negative curvatures.", by_curvature(lambda lam: lam)),
        Misconception("The absolute values are those of the eigenvalues, and not of the entries of H.", lambda g, H: -np.linalg.solve(abs(H), g)),
        Misconception("Negative curvatures keep their size; only their sign is dropped.", by_curvature(lambda lam: np.maximum(lam, 1e-3))),
        Misconception("This step climbs.", by_curvature(lambda lam: -abs(lam))),
        Misconception("The step is still in the eigenbasis: turn it back by the matrix whose columns are the directions.",
                      lambda g, H: (lambda lam, U: -(U.T @ g) / abs(lam))(*np.linalg.eigh(H))),
        Misconception("The directions are the COLUMNS of what eigh returns: U^T goes into the eigenbasis, and U back.",
                      lambda g, H: (lambda lam, U: -U.T @ ((U @ g) / abs(lam)))(*np.linalg.eigh(H))),
        Misconception("First turn g into the eigenbasis; the curvatures belong to the directions, and not to the entries.",
                      lambda g, H: -g / abs(np.linalg.eigh(H)[0])),
        Misconception("Divide by the curvatures, and do not multiply.", by_curvature(lambda lam: 1 / abs(lam)))), (
        Law("The step should go downhill: <g, d> < 0.", lambda f, g, H: g @ np.asarray(f(g, H)) < 0),
        Law("With a positive definite H it should be Newton's step.",
            lambda f, g, H: np.allclose(f(g, H @ H + np.eye(len(g))), -np.linalg.solve(H @ H + np.eye(len(g)), g)))))


def jacobian(rng):
    """A Jacobian [outputs, weights] with unequal sizes, residuals and a direction."""
    m, n = rng.permutation([2, 3, 4, 5])[:2]
    return rng.standard_normal((m, n)), rng.standard_normal(n)


NO_HALVES = "The 1/2 in the loss cancels the 2 of the square: neither is left in the second derivative."

gauss_newton_product = Exercise(
    "gauss_newton_product", 10, jacobian, lambda J, v, weight: weight * J.T @ (J @ v), (
        Misconception("This stops half-way: J v lives among the outputs, and J^T brings it back to the weights.",
                      lambda J, v, weight: weight * J @ v),
        Misconception("This is a number, <v, G v>. Asked is the vector G v.", lambda J, v, weight: weight * (J @ v) @ (J @ v)),
        Misconception(NO_HALVES, lambda J, v, weight: 2 * weight * J.T @ (J @ v)),
        Misconception(NO_HALVES, lambda J, v, weight: weight / 2 * J.T @ (J @ v)),
        Misconception("This is a single sample: there is no mean over the outputs.", lambda J, v, weight: weight * J.T @ (J @ v) / len(J))), (),
    on_error="G, like J^T J, has a row for each weight; J J^T, with a row for each output, does not fit v.", numbers={"weight": (1, 3, 5, 7)})


def logits(rng, sharpen):
    """A Jacobian of logits, the logits of one sample, and a direction."""
    m, n = rng.permutation([3, 4, 5, 6])[:2]
    return rng.standard_normal((m, n)), rng.standard_normal(m) * 1.5 / sharpen, rng.standard_normal(n)


def softmax(y):
    p = np.exp(y - y.max())
    return p / p.sum()


def through_softmax(middle):
    """The product by J, by a second derivative in the softmax's argument, sharpen y, and by J^T; middle(p, u) is the second."""
    return lambda J, y, v, sharpen: sharpen ** 2 * J.T @ middle(softmax(sharpen * y), J @ v)


def cross_entropy(p, u):
    return p * u - p * (p @ u)


cross_entropy_product = Exercise(
    "cross_entropy_product", 10, logits, through_softmax(cross_entropy), (
        Misconception("The second derivative of the cross-entropy is not the identity: it is made of diag(p) - p p^T.",
                      lambda J, y, v: J.T @ (J @ v)),
        Misconception("diag(p) alone leaves out that the probabilities sum to 1: subtract p p^T.", through_softmax(lambda p, u: p * u)),
        Misconception("p (1 - p) is the diagonal of diag(p) - p p^T alone.", through_softmax(lambda p, u: p * (1 - p) * u)),
        Misconception("With vectors p p^T is an outer product, np.outer(p, p); p * p gives only the squares.",
                      through_softmax(lambda p, u: (np.diag(p) - p * p) @ u)),
        Misconception("In diag(p) - p p^T the first term has a p as well.", through_softmax(lambda p, u: u - p * (p @ u))),
        Misconception("The softmax has exp with a plus.", lambda J, y, v, sharpen: through_softmax(cross_entropy)(J, -y, v, sharpen)),
        Misconception("The middle needs the probabilities, and not the logits.",
                      lambda J, y, v, sharpen: sharpen ** 2 * J.T @ cross_entropy(sharpen * y, J @ v)),
        Misconception("This stops among the outputs: J^T brings it back to the weights.",
                      lambda J, y, v, sharpen: sharpen ** 2 * cross_entropy(softmax(sharpen * y), J @ v))), (
        Law("Adding the same number to all logits changes no probability, and should not change the product.",
            lambda f, J, y, v: np.allclose(f(J, y + 3, v), f(J, y, v))),), numbers={"sharpen": (1, 2, 3, 4)})


def fit(rng):
    """A Jacobian with at least as many outputs as weights, and residuals y - t."""
    n = int(rng.integers(2, 4))
    m = n + int(rng.integers(1, 4))
    return rng.standard_normal((m, n)), rng.standard_normal(m)


gauss_newton_step = Exercise(
    "gauss_newton_step", 10, fit, lambda J, r: -np.linalg.solve(J.T @ J, J.T @ r), (
        Misconception("This step climbs: it needs a minus.", lambda J, r: np.linalg.solve(J.T @ J, J.T @ r)),
        Misconception("This is the gradient's direction; it is still to be solved with G = J^T J.", lambda J, r: -J.T @ r),
        Misconception("The residuals are y - t, and their signs count.", lambda J, r: -np.linalg.solve(J.T @ J, J.T @ abs(r))),
        Misconception("No 1/2 and no 2: the gradient is J^T r, and G = J^T J.", lambda J, r: -np.linalg.solve(J.T @ J, J.T @ r) / 2),
        Misconception("No 1/2 and no 2: the gradient is J^T r, and G = J^T J.", lambda J, r: -2 * np.linalg.solve(J.T @ J, J.T @ r))), (
        Law("For a linear model one step should leave no gradient: J^T (r + J d) = 0.", lambda f, J, r: np.allclose(J.T @ (r + J @ f(J, r)), 0)),),
    on_error="The gradient is J^T r, a number for each weight; G = J^T J, and not J J^T.")


def wide(rng):
    """More weights than outputs, so that G is singular; residuals, and a damping."""
    m = int(rng.integers(2, 4))
    n = m + int(rng.integers(1, 4))
    return rng.standard_normal((m, n)), rng.standard_normal(m), float(rng.uniform(0.1, 2))


def levenberg(J, r, mu):
    return -np.linalg.solve(J.T @ J + mu * np.eye(J.shape[1]), J.T @ r)


damped_step = Exercise(
    "damped_step", 10, wide, levenberg, (
        Misconception("This step climbs: it needs a minus.", lambda J, r, mu: -levenberg(J, r, mu)),
        Misconception("mu itself is added, and not its square.", lambda J, r, mu: levenberg(J, r, mu ** 2)),
        Misconception("This is the undamped step of least length; the damping is missing.", lambda J, r, mu: -np.linalg.pinv(J) @ r),
        Misconception("This is the gradient step that very large dampings give.", lambda J, r, mu: -J.T @ r / mu)), (
        Law("With a very large damping it should be a short gradient step, -J^T r / mu.",
            lambda f, J, r, mu: np.allclose(np.asarray(f(J, r, 1e8)) * 1e8, -J.T @ r, rtol=1e-4)),
        Law("More damping should give a shorter step.", lambda f, J, r, mu: np.linalg.norm(f(J, r, 2 * mu)) < np.linalg.norm(f(J, r, mu)))),
    on_error="With more weights than outputs G = J^T J is singular: solve with G + mu I, where mu stands on the diagonal alone, mu * np.eye(n).")


def trial(rng):
    """A damping, the loss before and after a step: up or down, by much or little, the same, or not a number."""
    before = float(rng.uniform(1, 2))
    return float(rng.uniform(0.01, 1)), before, before + float(rng.choice([-0.5, -1e-3, 0.0, 1e-3, 0.5, np.nan]))


def rule(success=lambda mu, trust, caution: (mu / trust, True), failure=lambda mu, trust, caution: (caution * mu, False),
         good=lambda before, after: after <= before):
    """Marquardt's rule with parts exchanged."""
    return lambda mu, before, after, trust, caution: (success if good(before, after) else failure)(mu, trust, caution)


BOTH = "Damping changes in both cases."
divided, multiplied = lambda taken: lambda mu, trust, caution: (mu / trust, taken), lambda taken: lambda mu, trust, caution: (caution * mu, taken)
kept = lambda taken: lambda mu, trust, caution: (mu, taken)

next_damping = Exercise(
    "next_damping", 10, trial, rule(), (
        Misconception("The wrong way round: trust the model more, with less damping, after a step that went down.",
                      rule(multiplied(True), divided(False))),
        Misconception("A step that went up is not taken.", rule(failure=multiplied(True))),
        Misconception(BOTH, rule(success=kept(True))),
        Misconception(BOTH, rule(failure=kept(False))),
        Misconception("A step that leaves the loss as it was does not raise it, and is taken.", rule(good=lambda before, after: after < before)),
        Misconception("A loss that is not a number compares as False with everything: ask whether the step is good, not whether it is bad.",
                      rule(good=lambda before, after: not after > before)),
        Misconception("Divide by {trust} after a success, and multiply by {caution} after a failure.",
                      lambda mu, before, after, trust, caution: rule()(mu, before, after, caution, trust)),
        Misconception("First the damping, then whether the step is taken.",
                      lambda mu, before, after, trust, caution: rule()(mu, before, after, trust, caution)[::-1]),
        Misconception("The damping is right; a step that went down is taken, one that went up is not.", rule(divided(False), multiplied(True))),
        Misconception("Loss before and after are mixed up.", rule(good=lambda before, after: after >= before))),
    instances=80, numbers={"trust": (3, 4, 5, 10), "caution": (2, 3, 6, 8)})

check = Checker(hessian_product, newton_step, saddle_free, gauss_newton_product, cross_entropy_product, gauss_newton_step, damped_step, next_damping)
