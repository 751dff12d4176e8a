"""The pictures of the course. Each function draws what stands still into a Figure and returns `move`, which updates what moves (or None).

The first paragraph of each docstring is the picture's alternative text.
"""
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from .ledger import gpt_buffers
from .modules import Identity, Module
from .norms import Euclidean, Lp, Manhattan, Max, Norm, Polygon, Weighted

BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC6BA4", "#3399D6", "#707070"
"""Okabe & Ito's colours, told apart by all readers, three of them a little darker, so that thin lines stand out from white."""
CLEAR = dict(color="white", pad=1)
"""Behind words, which nothing shall cross."""

# Lecture 1


def parabola(fig: Figure) -> Callable:
    """A parabola L = w^2 / 2 and the points that gradient descent visits on it, from w = 1.5.

    step_size in units of 1 / curvature.
    """
    ax = fig.subplots()
    w = np.linspace(-2.4, 2.4, 200)
    ax.plot(w, w * w / 2, color=GREY)
    ax.set(xlabel="w", ylabel="L(w)", ylim=(-0.15, 2.9), xlim=(-2.4, 2.4))
    path, = ax.plot([], [], "o-", color=BLUE, ms=5, lw=1)
    words = ax.set_title(" ")

    def move(step_size):
        visited = 1.5 * (1 - step_size) ** np.arange(13)
        path.set_data(visited, visited ** 2 / 2)
        words.set_text(f"each step multiplies the error by 1 - {step_size:.2f} = {1 - step_size:.2f}")

    return move


def bowl(fig: Figure, A: np.ndarray, start: np.ndarray) -> Callable:
    """Left: contours of L = w^T A w / 2 with the path of gradient descent. Right: what is left of the error in each eigendirection.

    step_size; steps taken.
    """
    left, right = fig.subplots(1, 2)
    values, U = np.linalg.eigh(A)
    order = np.argsort(values)[::-1]
    values, U = values[order], U[:, order]
    _contours(left, A)
    for direction, color in zip(U.T, (ORANGE, GREEN), strict=True):
        left.plot(*np.outer(direction, (-4, 4)), color=color, lw=1, ls=":")
    path, = left.plot([], [], "o-", color=BLUE, ms=3.5, lw=1)
    left.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xlabel="w$_1$", ylabel="w$_2$")
    bars = right.bar(range(len(values)), np.ones(len(values)), color=[ORANGE, GREEN], width=0.5)
    right.set(yscale="log", ylim=(1e-4, 1e2), xlabel="eigendirection", ylabel="|error| / |error at the start|", xticks=range(len(values)),
              xticklabels=[rf"$\lambda$ = {v:g}" for v in values.round(3)])
    right.axhline(1, color=GREY, lw=0.8)
    title = right.set_title(" ")

    def move(step_size, steps):
        factors = 1 - step_size * values
        errors = (U.T @ start)[:, None] * factors[:, None] ** np.arange(steps + 1)
        path.set_data(*np.clip(U @ errors, -20, 20))
        for bar, size in zip(bars, abs(factors) ** steps, strict=True):
            bar.set_height(max(size, 1e-12))
        title.set_text("factors per step: " + ", ".join(f"{f:.2f}" for f in factors))

    return move


def _contours(ax, A: np.ndarray) -> None:
    """Level lines of w^T A w / 2 in the square [-2.6, 2.6]^2."""
    X, Y = np.meshgrid(np.linspace(-2.6, 2.6, 120), np.linspace(-2.6, 2.6, 120))
    grid = np.stack([X, Y], -1)
    ax.contour(X, Y, 0.5 * (grid * (grid @ A)).sum(-1), levels=np.geomspace(0.02, 20, 12), colors=GREY, linewidths=0.7, alpha=0.8)


def contraction(fig: Figure, eigenvalues: Sequence[float]) -> None:
    """The factor by which each eigendirection shrinks in one step, against the step size. The slowest counts; it is best where two lines cross."""
    ax, top, low = fig.subplots(), max(eigenvalues), min(eigenvalues)
    eta = np.linspace(0, 2.3 / top, 300)
    for value in eigenvalues:
        ax.plot(eta, abs(1 - eta * value), color=GREY, lw=1)
    ax.plot(eta, np.max([abs(1 - eta * v) for v in eigenvalues], axis=0), color=BLUE, lw=2.5, label="the slowest direction")
    names = r"1/\lambda_1", r"2/(\lambda_1+\lambda_d)", r"2/\lambda_1"
    for x, name, color in zip((1 / top, 2 / (top + low), 2 / top), names, (GREEN, ORANGE, PINK), strict=True):
        ax.axvline(x, color=color, lw=1.2, ls="--", label=f"${name}$")
    ax.set(xlabel=r"step size $\eta$", ylabel="|factor| per step", ylim=(0, 1.35))
    ax.legend(loc="lower left")


def error_curves(fig: Figure, curves: dict[str, np.ndarray], ylabel: str = "error") -> None:
    """Curves over the step number, on a logarithmic axis."""
    ax = fig.subplots()
    for (name, values), color in zip(curves.items(), (BLUE, ORANGE, GREEN, PINK, GREY, SKY), strict=False):
        ax.semilogy(values, color=color, label=name)
    ax.set(xlabel="step", ylabel=ylabel)
    ax.legend()


# Lecture 2


def momentum_map(fig: Figure, rules: dict) -> Callable:
    """Left: the largest |root| over step size times curvature (across) and beta (up), yellow where it is unstable. Middle: the two roots and
    the unit circle. Right: the error, step by step.

    method: a name in `rules`; step_size in units of 1 / curvature; beta.
    """
    left, middle, right = fig.subplots(1, 3)
    s, b = np.linspace(0.02, 4, 120), np.linspace(0, 0.99, 60)
    radius = {name: np.array([[abs(np.linalg.eigvals(rule.matrix(x, y))).max() for x in s] for y in b]) for name, rule in rules.items()}
    picture = left.imshow(np.zeros((60, 120)), extent=(0, 4, 0, 1), origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=1.2)
    here, = left.plot([], [], "o", color="white", mec="black", ms=8)
    left.set(xlabel=r"step size $\times$ curvature", ylabel=r"$\beta$")
    left.grid(False)
    middle.plot(*circle().T, color=GREY, lw=1)
    roots, = middle.plot([], [], "o", color=ORANGE, ms=7)
    middle.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xlabel="real part", ylabel="imaginary part")
    error, = right.plot([], [], "o-", color=BLUE, ms=3, lw=1)
    right.set(xlabel="step", ylabel="error", ylim=(-1.6, 1.6), xlim=(-1, 41))
    left_title, middle_title = left.set_title(" "), middle.set_title(" ")

    def move(method, step_size, beta):
        M = rules[method].matrix(step_size, beta)
        r, e = np.linalg.eigvals(M), [1.0, 1.0]
        for _ in range(40):
            e.append(float(np.clip(M[0] @ [e[-1], e[-2]], -9, 9)))
        picture.set_data(np.minimum(radius[method], 1.2))
        here.set_data([step_size], [beta])
        roots.set_data(r.real, r.imag)
        error.set_data(range(41), e[1:])
        left_title.set_text(f"{method}: {'stable' if abs(r).max() < 1 else 'unstable'}")
        middle_title.set_text(f"largest |root| {abs(r).max():.2f}")

    return move


# Lecture 3

PLACES = {"w1": (0, 2), "w2": (0, 0), "z1": (1.2, 2), "z2": (2.4, 2.6), "z3": (1.2, 0), "z4": (2.4, 0.8), "z5": (3.6, 2), "z6": (4.8, 1.2)}


def trace_steps(fig: Figure, parents: dict[str, tuple[str, ...]], values: dict[str, float], slopes: dict[str, float]) -> Callable:
    """A computational graph of eight nodes. Stepping forward fills in the values, one node a step; then, from the end, the derivatives of the output.

    step: how many nodes have been visited, forward and then backward.
    """
    ax = fig.subplots()
    ax.axis("off")
    ax.set(xlim=(-0.6, 5.6), ylim=(-0.6, 3.2))
    for node, before in parents.items():
        for parent in before:
            ax.annotate("", PLACES[node], PLACES[parent], arrowprops=dict(arrowstyle="->", color=GREY, shrinkA=22, shrinkB=22))
    order = list(PLACES)
    circles = {n: ax.plot(*PLACES[n], "o", ms=40, mfc="white", mec=GREY)[0] for n in order}
    names = {n: ax.text(*PLACES[n], n, ha="center", va="center", zorder=5) for n in order}
    notes = {n: ax.text(PLACES[n][0], PLACES[n][1] - 0.5, "", ha="center", zorder=5, bbox=CLEAR) for n in order}

    def move(step):
        for i, n in enumerate(order):
            known, back = i < step, step > len(order) and len(order) - 1 - i < step - len(order)
            circles[n].set_markeredgecolor(ORANGE if back else BLUE if known else GREY)
            names[n].set_text(f"{n}\n{values[n]:.2f}" if known else n)
            notes[n].set_text(f"dz6/d{n} = {slopes[n]:.2f}" if back else "")

    return move


def checkpoint_memory(fig: Figure, depth: int) -> Callable:
    """Activations held at the peak of a backward pass with k checkpoints: those that are stored, and those of the one stretch that is run again.

    checkpoints: k.
    """
    ax = fig.subplots()
    k = np.arange(1, depth + 1)
    ax.plot(k, k + 2 * depth / k, color=GREY, label="k + 2 L / k")
    ax.axhline(2 * depth, color=PINK, ls="--", lw=1.2, label="no checkpoints: 2 L")
    stored, = ax.bar([1], [1], color=BLUE, width=0.7, label="stored inputs: k")
    again, = ax.bar([1], [1], bottom=[1], color=ORANGE, width=0.7, label="one stretch again: 2 L / k")
    ax.set(xlabel="checkpoints k", ylabel="activations in memory", ylim=(0, 2.3 * depth))
    ax.legend(loc="upper right", bbox_to_anchor=(1.0, 0.85))
    title = ax.set_title(" ")

    def move(checkpoints):
        for bar, low, height in ((stored, 0, checkpoints), (again, checkpoints, 2 * depth / checkpoints)):
            bar.set(x=checkpoints - 0.35, y=low, height=height)
        title.set_text(f"{checkpoints} checkpoints: {checkpoints + 2 * depth / checkpoints:.1f} activations instead of {2 * depth}")

    return move


# Lecture 4


def basins(fig: Figure, runs: dict[str, np.ndarray], size: float) -> Callable:
    """Where each start in the square [-size, size]^2 has got to: blue and green are the two minima, orange the saddle between them, grey elsewhere.

    method: a name in `runs`, {method: [steps + 1, n, n, 2]}; steps taken.
    """
    ax = fig.subplots()
    places = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    colors = np.array([[0, 114, 178], [0, 158, 115], [213, 94, 0], [225, 225, 225]])
    picture = ax.imshow(np.zeros((2, 2, 3), np.uint8), extent=(-size, size, -size, size), origin="lower")
    ax.plot(*places[:2].T, "*", color="white", mec="black", ms=12)
    ax.plot(0, 0, "X", color="white", mec="black", ms=9)
    ax.set(xlabel="x at the start", ylabel="y at the start")
    ax.grid(False)
    title = ax.set_title(" ")

    def move(method, steps):
        distance = np.linalg.norm(runs[method][min(steps, len(runs[method]) - 1)][..., None, :] - places, axis=-1)
        reached = np.where(distance.min(-1) < 0.1, distance.argmin(-1), 3)
        picture.set_data(colors[reached].astype(np.uint8))
        title.set_text(f"{method}, {steps} steps: {(reached == 2).mean():.0%} at the saddle, {(reached < 2).mean():.0%} at a minimum")

    return move


def gauss_newton_path(fig: Figure) -> Callable:
    """Fitting e^(w t) to three points by Gauss-Newton. Left: the loss and the iterates on it. Right: the iterates, step by step.

    third: the third measurement, which the model cannot reach when it is negative.
    """
    left, right = fig.subplots(1, 2)
    t, w = np.array([1.0, 2.0, 3.0]), np.linspace(-2.5, 1.2, 300)
    curve, = left.plot([], [], color=GREY)
    path, = left.plot([], [], "o-", color=BLUE, ms=4, lw=0.8)
    steps, = right.plot([], [], "o-", color=BLUE, ms=4, lw=0.8)
    left.set(xlabel="w", ylabel="loss less its minimum", yscale="symlog", xlim=(-2.5, 1.2), ylim=(-0.2, 1e3))
    right.set(xlabel="step", ylabel="w", ylim=(-2.5, 1.2), xlim=(-0.5, 25.5))
    title = right.set_title(" ")

    def move(third):
        y = np.array([2.0, 4.0, third])
        loss = lambda w: 0.5 * ((np.exp(np.multiply.outer(w, t)) - y) ** 2).sum(-1)
        least, x, visited = loss(np.linspace(-6, 1.2, 4000)).min(), 0.5, [0.5]
        for _ in range(25):
            f = np.exp(x * t)
            x = float(np.clip(x - (t * f) @ (f - y) / ((t * f) @ (t * f)), -9, 9))
            visited.append(x)
        visited = np.array(visited)
        curve.set_data(w, loss(w) - least)
        path.set_data(visited, loss(visited) - least)
        steps.set_data(range(26), visited)
        title.set_text("settles" if abs(visited[-1] - visited[-2]) < 1e-3 else "does not settle")

    return move


# Lecture 5

BALLS: dict[str, Norm] = {
    "Max": Max(), "Euclidean": Euclidean(), "Manhattan": Manhattan(), "Lp, p = 4": Lp(4), "Lp, p = 1.25": Lp(1.25),
    "Weighted": Weighted([[1.0, 0.6], [0.6, 0.8]]), "hexagon": Polygon([(1.0, 0.0), (0.5, 0.9), (-0.5, 0.9)]),
}


def circle(points: int = 361) -> np.ndarray:
    """Directions [points, 2], once around."""
    angle = np.linspace(0, 2 * np.pi, points)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def ball(norm: Norm) -> np.ndarray:
    """The boundary [points, 2] of the unit ball of a norm of the plane."""
    directions = circle()
    return directions / norm._size(directions)[:, None]


def _plane(ax, title: str, size: float, name: str) -> None:
    """Equal axes around the origin, for the two entries of what is called `name`."""
    ax.set(aspect="equal", xlim=(-size, size), ylim=(-size, size), xlabel=f"{name}$_1$", ylabel=f"{name}$_2$")
    ax.set_title(title)
    ax.axhline(0, color=GREY, lw=0.5)
    ax.axvline(0, color=GREY, lw=0.5)


def _arrow(ax, color: str, label: str):
    """A line with a head from the origin, and the function that points it at v."""
    shaft, = ax.plot([], [], color=color, lw=2.2, label=label)
    head, = ax.plot([], [], "o", color=color, ms=6)

    def point(v):
        shaft.set_data([0, v[0]], [0, v[1]])
        head.set_data([v[0]], [v[1]])

    return point


def dual_map(fig: Figure) -> Callable:
    """Left: the unit ball of a norm, a gradient g, and the point d of the ball farthest along g. Right: the dual ball, of radius 1/|g|* along g.

    norm: a name; angle of g in degrees.
    """
    left, right = fig.subplots(1, 2)
    _plane(left, "steps: norm(d) ≤ 1", 2.1, "d")
    _plane(right, "gradients: |g|* ≤ 1", 2.1, "g")
    shape, = left.plot([], [], color=BLUE)
    dual, = right.plot([], [], color=ORANGE)
    touch, = left.plot([], [], "--", color=GREY, lw=1)
    gradient, step, unit = _arrow(left, ORANGE, "g"), _arrow(left, BLUE, "d = dualize(g)"), _arrow(right, ORANGE, "g / |g|*")
    for ax in (left, right):  # room for the legend
        ax.set_ylim(-2.8, 2.1)
        ax.legend(loc="lower center", ncols=2)
    words = left.text(-2.0, 1.8, "", bbox=CLEAR)

    def move(norm, angle):
        norm = BALLS[norm] if isinstance(norm, str) else norm
        g = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        d, size, along = norm.dualize(g), norm.dual(g), np.array([-g[1], g[0]])
        shape.set_data(*ball(norm).T)
        directions = circle()
        dual.set_data(*(directions / norm._dual(directions)[:, None]).T)
        touch.set_data(*np.stack([g * size - 4 * along, g * size + 4 * along]).T)
        gradient(g)
        step(d)
        unit(g / size)
        words.set_text(f"|g|* = <g, d> = {size:.2f}")

    return move


def own_norm(fig: Figure, A: np.ndarray, start: np.ndarray) -> Callable:
    """Left: a norm of your own, a polygon with corners at four distances, a gradient and its dual map. Right: the path of its steepest descent.

    The distances of the corners at 0, 45, 90 and 135 degrees; the angle of g; sharpness.
    """
    left, right = fig.subplots(1, 2)
    _plane(left, "your unit ball", 2.3, "d")
    _plane(right, "your optimizer", 2.6, "w")
    _contours(right, A)
    shape, = left.plot([], [], "-", color=BLUE)
    corners, = left.plot([], [], "s", color=GREY, ms=4)
    gradient, step = _arrow(left, ORANGE, "g"), _arrow(left, BLUE, "dualize(g)")
    left.set_ylim(-3.1, 2.3)  # room for the legend
    left.legend(loc="lower center", ncols=2)
    path, = right.plot([], [], "o-", color=BLUE, ms=3.5, lw=1)
    title = right.set_title(" ")
    rays = circle(9)[:4]

    def move(east, northeast, north, northwest, angle, sharpness):
        norm = Polygon(rays * np.array([east, northeast, north, northwest])[:, None])
        shape.set_data(*ball(norm).T)
        corners.set_data(*norm.vertices.T)
        g = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        gradient(g)
        step(norm.dualize(g))
        w, visited = start, [start]
        for _ in range(25):
            w = np.clip(w - norm.sharp(A @ w) / sharpness, -50, 50)
            visited.append(w)
        path.set_data(*np.array(visited).T)
        title.set_text(f"25 steps end at loss {0.5 * w @ A @ w:.2g}")

    return move


# Lecture 6


def majorization_slice(fig: Figure, value: Callable, g: np.ndarray, rulers: dict[str, tuple[Norm, float]],
                       directions: dict[str, np.ndarray]) -> Callable:
    """The loss along a direction (grey) under the bound that a norm and a sharpness make (blue); orange where the loss breaks through.

    norm: a name in `rulers`, each with its exact sharpness; factor: sharpness as a multiple of that; direction: a name in `directions`.
    """
    ax = fig.subplots()
    s = np.linspace(-1.5, 1.5, 61)
    unit = lambda norm, d: d * (rulers[norm][0].dual(g) / rulers[norm][1] / rulers[norm][0](d))
    losses = {(n, name): np.array([value(x * unit(n, d)) for x in s]) for n in rulers for name, d in directions.items()}
    loss, = ax.plot([], [], color=GREY, lw=2.5, label="loss")
    bound, = ax.plot([], [], color=BLUE, label="bound")
    broken, = ax.plot([], [], ".", color=ORANGE, ms=7, label="bound violated")
    ax.plot([0], [value(0 * g)], "o", color="black", ms=5)
    ax.set(xlabel="step along the direction, in units of the steepest descent step", ylabel="L", xlim=(-1.5, 1.5))
    least, most = min(y.min() for y in losses.values()), max(y.max() for y in losses.values())
    ax.set_ylim(least - 0.1 * (most - least), most + 0.3 * (most - least))
    ax.legend(loc="upper center", ncols=3)
    title = ax.set_title(" ")

    def move(norm, factor, direction):
        ruler, exact = rulers[norm]
        d, y = unit(norm, directions[direction]), losses[norm, direction]
        z = value(0 * g) + s * (g * d).sum() + 0.5 * factor * exact * (s * ruler(d)) ** 2
        loss.set_data(s, y)
        bound.set_data(s, z)
        bad = y > z + 1e-9
        broken.set_data(s[bad], y[bad])
        title.set_text(f"{norm}, sharpness {factor * exact:.3g}: {'violated' if bad.any() else 'no violation along this line'}")

    return move


# Lecture 7


def schedule_race(fig: Figure, times: np.ndarray, kappas: Sequence[float], races: dict[str, np.ndarray], floor: float) -> Callable:
    """Left: the risk of stochastic gradient descent over the steps, for every schedule, one of them in colour; the dashed line falls as floor / t.
    Right: the last risk in units of floor / T, against the condition number.

    schedule: a name in `races`, {name: [kappas, times]}; log2_kappa: of the condition number in the left picture, 2^log2_kappa in `kappas`.
    """
    left, right = fig.subplots(1, 2)
    left.loglog(times, floor / times, "--", color="black", lw=1, label=r"floor $d\sigma^2/t$")
    prices = {name: r[:, -1] * times[-1] / floor for name, r in races.items()}
    others = [left.plot([], [], color=GREY, lw=0.8)[0] for _ in races]
    mine, = left.plot([], [], color=BLUE, lw=2.2)
    for price in prices.values():
        right.loglog(kappas, price, color=GREY, lw=0.8)
    price, = right.plot([], [], "o-", color=BLUE, lw=2.2, ms=4)
    here, = right.plot([], [], "o", color=ORANGE, ms=9)
    left.set(xlabel="step t", ylabel="risk", ylim=(0.5 * floor / times[-1], 40))
    left.legend(loc="lower left")
    right.set(xlabel=r"condition number $\kappa$", ylabel=r"risk at the end, in units of $d\sigma^2/T$", ylim=(0.9, 15), xticks=kappas,
              xticklabels=[f"{k:g}" for k in kappas], yticks=[1, 2, 4, 8], yticklabels=["1", "2", "4", "8"])
    right.minorticks_off()
    titles = left.set_title(" "), right.set_title(" ")

    def move(schedule, log2_kappa):
        kappa = list(kappas).index(2 ** log2_kappa)
        for line, r in zip(others, races.values(), strict=True):
            line.set_data(times, r[kappa])
        mine.set_data(times, races[schedule][kappa])
        price.set_data(kappas, prices[schedule])
        here.set_data([kappas[kappa]], [prices[schedule][kappa]])
        titles[0].set_text(schedule)
        titles[1].set_text(rf"$\kappa$ = {kappas[kappa]:g}: {prices[schedule][kappa]:.2f} times the floor")

    return move


def batch_curve(fig: Figure, batches: Sequence[int], steps: dict[tuple[str, str], Sequence[float]], critical: Callable) -> Callable:
    """Steps to a target loss against the batch size, both in octaves, with the fit S (1 + C / B) and the critical batch size C of the tuned curve.

    target: a name; step_size: "tuned", or another name in `steps`, {(target, step_size): steps [batches]}; critical: (batches, steps) -> (S, C).
    """
    ax, B = fig.subplots(), np.asarray(batches)
    fit, = ax.plot([], [], color=ORANGE, lw=1.2, label="S (1 + C / B), fitted to the tuned steps")
    tuned, = ax.plot([], [], "o", mfc="white", color=GREY, ms=6, label="best step size for every batch size")
    mine, = ax.plot([], [], "o-", color=BLUE, lw=1.5, ms=5, label="shown")
    line, = ax.plot([], [], "--", color=PINK, lw=1.2, label="critical batch size C")
    most, least = (f([f(s) for s in steps.values()]) for f in (np.max, np.min))
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="steps", ylim=(least / 2, 2 * most), xlim=(0.85 * B[0], 1.2 * B[-1]),
           xticks=B[::2], xticklabels=B[::2])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    title = ax.set_title(" ")

    def move(target, step_size="tuned"):
        S, C = critical(B, steps[target, "tuned"])
        fit.set_data(B, S * (1 + C / B))
        tuned.set_data(B, steps[target, "tuned"])
        mine.set_data(B, steps[target, step_size])
        line.set_data([C, C], [least / 2, 0.2 * most])  # not through the legend
        title.set_text(f"{target}: no fewer than {S:.0f} steps, critical batch size {C:.0f}")

    return move



# Lecture 8


def adam_to_sign(fig: Figure, A: np.ndarray, start: np.ndarray) -> Callable:
    """Left: 150 steps of Adam down a bowl with noisy gradients. Right: its mean step against the mean gradient, between the sign (grey, steps)
    and a straight line.

    memory: 1 / (1 - beta), for both averages; eps, in units of gradients; noise: its standard deviation. The step size is multiplied by 1 + eps.
    """
    left, right = fig.subplots(1, 2)
    _contours(left, A)
    path, = left.plot([], [], "o-", color=BLUE, ms=2.5, lw=0.9)
    left.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xlabel="w$_1$", ylabel="w$_2$")
    g = np.linspace(-2, 2, 81)
    right.plot([-2, 0, 0, 2], [-1, -1, 1, 1], color=GREY, lw=1)
    curve, = right.plot([], [], color=BLUE)
    right.set(xlabel="mean gradient", ylabel="mean of m / (√v + eps), rescaled", xlim=(-2, 2), ylim=(-1.5, 1.5))
    title = left.set_title(" ")
    rng = np.random.default_rng(0)
    shocks, draws = rng.standard_normal((150, 2)), rng.standard_normal((500, 200))

    def move(memory, eps, noise):
        beta, w, m, v, visited = 1 - 1 / memory, start, 0 * start, 0 * start, [start]
        for t in range(150):
            x = A @ w + noise * shocks[t]
            m, v, c = beta * m + (1 - beta) * x, beta * v + (1 - beta) * x * x, 1 - beta ** (t + 1)
            w = w - 0.05 * (1 + eps) * (m / c) / (np.sqrt(v / c) + eps + 1e-12)
            visited.append(w)
        path.set_data(*np.array(visited).T)
        share = beta ** np.arange(500)
        a, b = share @ draws / share.sum(), share @ draws ** 2 / share.sum()
        m = g[:, None] + noise * np.append(a, -a)
        v = np.maximum(g[:, None] ** 2 + 2 * g[:, None] * noise * np.append(a, -a) + noise ** 2 * np.append(b, b), 0)
        curve.set_data(g, ((1 + eps) * m / (np.sqrt(v) + eps + 1e-12)).mean(1))
        title.set_text(f"loss at the end {0.5 * w @ A @ w:.2g}")

    return move


def step_curves(fig: Figure, log2_steps: Sequence[float], curves: dict[str, np.ndarray], ylabel: str = "loss at the end") -> None:
    """The loss at the end of training against the step size, one line a seed.

    curves: {name: [seeds, steps]}.
    """
    ax = fig.subplots()
    for (name, losses), color in zip(curves.items(), (BLUE, ORANGE, GREEN, PINK), strict=False):
        for i, loss in enumerate(losses):
            ax.plot(log2_steps, loss, "o-", color=color, ms=3.5, lw=1.1, label=name if i == 0 else None)
    ax.set(xlabel=r"step size, octaves (log$_2 \eta$)", ylabel=ylabel)
    ax.legend()


def step_bowls(fig: Figure, rows: list[dict], methods: Sequence[str]) -> Callable:
    """The loss at the end against the step size, in octaves from each method's own best one: a wide bowl forgives, a curve that ends is a cliff.

    start: from which weights, a name in the table.
    """
    ax = fig.subplots()
    lines = {m: ax.plot([], [], f"{marker}-", color=color, ms=5, label=m)[0]
             for m, color, marker in zip(methods, (ORANGE, SKY, PINK, GREEN, BLUE, GREY), "osD^vP", strict=False)}
    ax.set(xlabel="step size, octaves from the method's best", ylabel="held-out loss, nats a character", xlim=(-4.2, 4.2), ylim=(2.2, 3.3))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    def move(start):
        for method, line in lines.items():
            mine = [r for r in rows if (r["method"], r["begin"]) == (method, start)]
            steps = np.array(sorted({r["log2_step"] for r in mine}))
            loss = np.array([np.mean([r["loss"] for r in mine if r["log2_step"] == s]) for s in steps])
            line.set_data(steps - steps[loss.argmin()], np.minimum(loss, 99))

    return move


def spike_lab(fig: Figure, runs: dict[str, np.ndarray], without: dict[str, np.ndarray], bad: int) -> Callable:
    """The loss on good pictures while one bad batch comes by (dotted line), one orange line a seed; grey, the same training without the bad batch.

    repair: a name in `runs` and `without`, both {name: [seeds, steps]}.
    """
    ax = fig.subplots()
    ax.axvline(bad, color=GREY, ls=":", lw=1)
    seeds = range(len(next(iter(runs.values()))))
    grey, orange = ([ax.semilogy([], [], color=color, lw=width)[0] for _ in seeds] for color, width in ((GREY, 1.0), (ORANGE, 1.2)))
    steps = range(len(next(iter(runs.values()))[0]))
    ax.set(xlabel="step", ylabel="loss on good pictures", xlim=(0, len(steps)), ylim=(0.1, 12))
    title = ax.set_title(" ")

    def move(repair):
        for lines, table in ((grey, without), (orange, runs)):
            for line, loss in zip(lines, table[repair], strict=True):
                line.set_data(steps, loss)
        title.set_text(f"{repair}: highest after the bad batch {runs[repair][:, bad + 1:].max():.2f}, last {runs[repair][:, -1].mean():.2f}")

    return move


# Lecture 9


def edge_run(fig: Figure, runs: dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Callable:
    """Full-batch gradient descent. Left: the loss, step by step. Right: the sharpness, which rises until it meets the dashed line, 2 / step size.

    step_size and seed; runs: {step size: (losses [steps + 1, seeds], steps of the measurements [moments], sharpness [moments, seeds])}.
    """
    left, right = fig.subplots(1, 2)
    last = max(len(losses) for losses, _, _ in runs.values()) - 1
    loss, = left.plot([], [], color=BLUE, lw=0.9)
    left.set(xlabel="step", ylabel="loss", yscale="log", xlim=(0, last), ylim=(1e-5, 3))
    low, high = min(s.min() for _, _, s in runs.values()), 2 / min(runs)
    curve, = right.plot([], [], "o-", color=ORANGE, ms=2, lw=1, label="sharpness")
    limit, = right.plot([], [], "--", color=GREY, lw=1.2, label=r"$2/\eta$")
    right.set(xlabel="step", ylabel="sharpness", yscale="log", xlim=(0, last), ylim=(0.7 * low, 1.4 * high))
    right.legend(loc="lower right")
    title = right.set_title(" ")

    def move(step_size, seed):
        losses, t, sharpness = runs[step_size]
        loss.set_data(range(len(losses)), losses[:, seed])
        curve.set_data(t, sharpness[:, seed])
        limit.set_data([0, last], [2 / step_size] * 2)
        title.set_text(rf"$2/\eta$ = {2 / step_size:.3g}; at the end the sharpness is {sharpness[-1, seed]:.3g}")

    return move


def edge_ratios(fig: Figure, curves: dict[str, tuple[np.ndarray, np.ndarray]], ylabel: str = r"$\eta$ sharpness / 2", top: float = 2.0) -> None:
    """Step size times sharpness over 2, against the step number; one colour a setting, one line a seed. The dashed line is the edge of stability.

    curves: {name: (steps [moments], ratio [moments, seeds])}; a line ends where its run diverged.
    """
    ax = fig.subplots()
    ax.axhline(1, color="black", lw=1, ls="--")
    for (name, (t, ratio)), color in zip(curves.items(), (BLUE, ORANGE, GREEN, PINK, SKY, GREY), strict=False):
        lines = ax.plot(t, ratio, color=color, lw=1.1)
        lines[0].set_label(name)
    ax.set(xlabel="step", ylabel=ylabel, ylim=(0, top))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def toy_orbit(fig: Figure) -> Callable:
    """Gradient descent on (1 - x^2 y^2)^2 from (0.05, 3). Left: its orbit, and the valley x y = 1. Right: step size times sharpness over 2,
    averaged over two steps.

    step_size.
    """
    left, right = fig.subplots(1, 2)
    x = np.linspace(0.02, 1.6, 300)
    left.plot(x, 1 / x, color=GREY, lw=1)
    orbit, = left.plot([], [], "o-", color=BLUE, ms=2.5, lw=0.4)
    end, = left.plot([], [], "*", color=ORANGE, ms=12, mec="black", mew=0.5)
    left.set(xlabel="x", ylabel="y", xlim=(0, 1.2), ylim=(1, 3.6))
    right.axhline(1, color="black", lw=1, ls="--")
    ratio, = right.plot([], [], color=ORANGE)
    right.set(xlabel="step", ylabel=r"$\eta$ sharpness / 2, mean of two steps", xscale="log", xlim=(1, 2000), ylim=(0, 2.2))
    title = right.set_title(" ")

    def move(step_size):
        (x, y), path = (0.05, 3.0), []
        for _ in range(2001):
            path.append((x, y))
            if abs(x) + abs(y) > 20:
                break
            r = 4 * step_size * x * y * (1 - x * x * y * y)
            x, y = x + r * y, y + r * x
        x, y = np.array(path).T
        p, square = x * y, x * x + y * y  # the Hessian is a (y, x)(y, x)^T + b (0 1; 1 0), of trace a square and determinant below
        a, b = 12 * p * p - 4, 4 * p * (p * p - 1)
        sharp = 0.5 * step_size * (0.5 * a * square + np.sqrt((0.5 * a * square) ** 2 + b * (2 * a * p + b)))
        orbit.set_data(abs(x), abs(y))
        end.set_data([abs(x[-1])], [abs(y[-1])])
        ratio.set_data(np.arange(1, len(sharp)), 0.5 * (sharp[1:] + sharp[:-1]))
        title.set_text("diverges" if len(path) < 2001 else rf"settles where $\eta$ sharpness / 2 = {sharp[-1]:.3f}")

    return move

# Lecture 10


def gain(fig: Figure, W: np.ndarray) -> Callable:
    """Left: inputs of length 1. Right: where a matrix sends them, an ellipse whose half axes are the singular values, with the gain of one input.

    angle of the input in degrees.
    """
    left, right = fig.subplots(1, 2)
    size = 1.15 * np.linalg.norm(W, 2)
    _plane(left, "inputs x, |x| = 1", 1.4, "x")
    _plane(right, "outputs W x", size, "(W x)")
    left.plot(*circle().T, color=GREY)
    right.plot(*(circle() @ W.T).T, color=GREY)
    into, out = _arrow(left, BLUE, "x"), _arrow(right, ORANGE, "W x")
    words = right.text(-0.95 * size, 0.86 * size, "")

    def move(angle):
        x = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        into(x)
        out(W @ x)
        words.set_text(f"|W x| / |x| = {np.linalg.norm(W @ x):.2f}")

    return move


def _shades(n: int) -> list:
    """Light to dark blue, for widths from narrow to wide."""
    return [(0.36 - 0.36 * i, 0.6 - 0.45 * i, 0.82 - 0.42 * i) for i in np.linspace(0, 1, n)]


LOOKS = {"SGD": (ORANGE, "o"), "Adam": (PINK, "s"), "LARS": (GREY, "P"), "Frobenius": (SKY, "D"), "spectral": (GREEN, "^"), "dualized": (BLUE, "v")}


def _method(name: str) -> dict:
    """Colour and marker of a method; a variant of it ("Adam, orthogonal start") is dashed."""
    color, marker = next(look for method, look in LOOKS.items() if name.startswith(method))
    return dict(color=color, marker=marker, ms=5, **({} if name in LOOKS else dict(ls="--", mfc="white")))


def width_sweep(fig: Figure, rows: list[dict]) -> Callable:
    """Final loss against the step size, one curve for each width from light (narrow) to dark (wide), the mean over seeds; the best points are marked.

    method: a name in the table.
    """
    ax = fig.subplots()
    widths = sorted({r["width"] for r in rows})
    curves = [ax.plot([], [], "-", color=c, label=str(width))[0] for width, c in zip(widths, _shades(len(widths)), strict=True)]
    best = [ax.plot([], [], "o", color=c, ms=7, mec="black", mew=0.6)[0] for c in _shades(len(widths))]
    ax.set(xlabel=r"step size, octaves (log$_2 \eta$)", ylabel="training loss after 60 steps", yscale="log", ylim=(0.04, 1.2), xlim=(-13.5, 4.5))
    ax.legend(title="width", loc="lower left", ncols=2)
    title = ax.set_title(" ")

    def move(method):
        for width, curve, dot in zip(widths, curves, best, strict=True):
            mine = [r for r in rows if r["method"] == method and r["width"] == width]
            steps = sorted({r["log2_step"] for r in mine})
            loss = np.array([np.exp(np.mean([np.log(r["loss"]) for r in mine if r["log2_step"] == s])) for s in steps])
            loss = np.where(np.isfinite(loss), loss, 1e3)
            curve.set_data(steps, loss)
            dot.set_data([steps[loss.argmin()]], [loss.min()])
        title.set_text(method)

    return move


def drifts(fig: Figure, widths: Sequence[int], drift: dict[str, np.ndarray]) -> None:
    """How far the best step size has moved from its place at the least width, in octaves, against the width; one line a method, a band over seeds.

    drift: {method: [seeds, widths]}.
    """
    ax = fig.subplots()
    ax.axhspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    for name, d in drift.items():
        d = np.asarray(d) - np.asarray(d)[:, :1]
        ax.plot(np.log2(widths), d.mean(0), label=name, **_method(name))
        ax.fill_between(np.log2(widths), d.min(0), d.max(0), color=_method(name)["color"], alpha=0.15, lw=0)
    ax.set(xlabel="width", ylabel="drift of the best step size, octaves", xticks=np.log2(widths), xticklabels=widths)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def coordinate_check(fig: Figure, widths: Sequence[int], changes: dict[str, np.ndarray]) -> None:
    """What each layer's own first step does to its output, against the width, one panel a layer: flat lines are what one hopes for.

    changes: {method: [seeds, widths, layers]}; every line is drawn from its value at the least width, in octaves.
    """
    panels = fig.subplots(1, 3, sharey=True)
    for layer, (ax, title) in enumerate(zip(panels, ("first layer", "middle layer", "last layer"), strict=True)):
        ax.set(xlabel="width", xticks=np.log2(widths[::2]), xticklabels=widths[::2])
        ax.set_title(title)
        for name, c in changes.items():
            octaves = np.log2(np.asarray(c)[..., layer]).mean(0)
            ax.plot(np.log2(widths), octaves - octaves[0], label=name, **_method(name))
    panels[0].set(ylabel="log$_2$ of the change")
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(changes))


def timeline(fig: Figure, events: Sequence, themes: Sequence[str]) -> None:
    """A timeline from top to bottom: each event with its year, in a column for its theme; filled dots run in the course, empty ones are cited."""
    ax = fig.subplots()
    for place, event in enumerate(events):
        x, color = themes.index(event.theme), (BLUE, PINK, GREEN, ORANGE)[themes.index(event.theme)]
        ax.plot(x, place, "o", color=color, mfc=color if event.runs else "white", ms=7)
        ax.text(x + 0.08, place, f"{event.name}, {event.year}", va="center", bbox=CLEAR)
    for x in range(len(themes)):
        ax.axvline(x, color=GREY, lw=0.6, zorder=0)
    ax.set(xlim=(-0.15, len(themes) - 0.15), ylim=(len(events) - 0.4, -0.6), xticks=range(len(themes)), xticklabels=themes, yticks=[])
    ax.xaxis.tick_top()
    ax.grid(False)
    ax.spines[["left", "bottom"]].set_visible(False)


def spectra(fig: Figure, values: dict[str, np.ndarray], ylabel: str = "singular value") -> None:
    """Singular values or eigenvalues from the largest to the smallest, one line a matrix, on a logarithmic axis."""
    ax = fig.subplots()
    for (name, s), color in zip(values.items(), (BLUE, ORANGE, GREEN, PINK), strict=False):
        ax.semilogy(np.arange(1, len(s) + 1), s, color=color, label=name)
    top = max(s.max() for s in values.values())
    ax.set(xlabel="index", ylabel=ylabel, ylim=(1e-6 * top, 2 * top))
    ax.legend()


# Lecture 11


def alignment(fig: Figure) -> Callable:
    """Left: a hundred steps of length 1, how far they get along their common direction and across it. Right: the length of the sum, times the
    multiplier, against the number of steps, between the limits of independent and of aligned steps.

    alignment: the cosine between any two steps; multiplier: 1, 1/√L or 1/L.
    """
    left, right = fig.subplots(1, 2)
    steps, L = np.arange(101), np.unique(np.geomspace(1, 1000, 60).astype(int))
    size = lambda a: np.sqrt(L + L * (L - 1.0) * a)
    factor = {"1": 1.0, "1/√L": L ** -0.5, "1/L": 1.0 / L}
    walk, = left.plot([], [], ".", color=BLUE, ms=4)
    way, = left.plot([], [], color=ORANGE, lw=2)
    left.set(xlim=(-4, 106), ylim=(-1, 16), xlabel="along the common direction", ylabel="across it")
    independent, = right.loglog(L, L, "--", color=GREY, lw=1, label="independent")
    aligned, = right.loglog(L, L, ":", color=GREY, lw=1.5, label="aligned")
    curve, = right.loglog(L, L, color=ORANGE, lw=2.5, label="these")
    right.set(xlabel="number of steps L", ylabel="multiplier · |sum|", ylim=(0.02, 1500))
    right.legend(loc="upper left")
    title = left.set_title(" ")

    def move(alignment, multiplier):
        along, across = np.sqrt(alignment) * steps, np.sqrt((1 - alignment) * steps)
        walk.set_data(along, across)
        way.set_data([0, along[-1]], [0, across[-1]])
        for line, a in ((independent, 0.0), (aligned, 1.0), (curve, alignment)):
            line.set_ydata(factor[multiplier] * size(a))
        title.set_text(f"100 steps end {np.hypot(along[-1], across[-1]):.0f} away")

    return move


def slack(fig: Figure, ratios: dict[str, np.ndarray], atoms: np.ndarray) -> None:
    """Left: what was reached over what the bound allows, sorted, one curve an experiment. Right: the first of them against the number of atoms."""
    left, right = fig.subplots(1, 2, sharey=True)
    for (name, r), color in zip(ratios.items(), (BLUE, SKY, ORANGE, PINK), strict=False):
        left.plot(np.linspace(0, 100, len(r)), np.sort(r), color=color, label=name)
    left.set(xlabel="per cent of the architectures", ylabel="reached / bound", ylim=(0, 1.05))
    left.legend(loc="upper left", bbox_to_anchor=(0.0, 0.94))  # under the line at 1
    right.semilogx(atoms, next(iter(ratios.values())), ".", color=BLUE, base=2)
    right.set(xlabel="atoms in the architecture")
    for ax in (left, right):
        ax.axhline(1, color=GREY, lw=1)


def mass_tree(fig: Figure, stages: dict[str, Module], reached: dict[str, float]) -> Callable:
    """Left: a chain of modules as a tree, each with its mass, its sensitivity and its share of the total mass. Right: that share of a step of
    size 1 (outlined), and the change of the output that a step of this part alone makes (full).

    One mass for each of `stages`, which stand in the order of the data. `reached`: the change of the output over the share.
    """
    left, right = fig.subplots(1, 2, width_ratios=(1.5, 1))
    left.set(xlim=(-0.6, len(stages) - 0.4), ylim=(-0.35, 1.35))
    left.axis("off")
    root, places = ((len(stages) - 1) / 2, 1.0), {name: (i, 0.0) for i, name in enumerate(stages)}
    for x, y in places.values():
        left.plot([root[0], x], [root[1], y], color=GREY, lw=1, zorder=0)
    box = dict(boxstyle="round", fc="white", ec=GREY)
    words = {name: left.text(x, y, "", ha="center", va="center", bbox=box) for name, (x, y) in places.items()}
    top = left.text(*root, "", ha="center", va="center", bbox=box)
    granted = right.bar(list(stages), [1.0] * len(stages), fc="none", ec=GREY, lw=1.5, label="share of the mass")
    moved = right.bar(list(stages), [1.0] * len(stages), color=BLUE, width=0.5, label="change of the output")
    right.set(ylim=(0, 1.25), xlabel="module", ylabel="share of the step")
    right.legend(loc="upper left")

    def move(**masses):
        parts = {name: module.tare(masses[name]) for name, module in stages.items()}
        net = Identity()
        for part in parts.values():
            net = part @ net
        top.set_text(f"network\nmass {net.mass:.1f}\nsensitivity {net.sensitivity:.2f}")
        for (name, part), outline, bar in zip(parts.items(), granted, moved, strict=True):
            share = part.mass / max(net.mass, 1e-9)
            words[name].set_text(f"{name}\nmass {part.mass:.1f}\nsensitivity {part.sensitivity:.2f}\nshare {share:.0%}")
            outline.set_height(share)
            bar.set_height(reached[name] * share)

    return move


def depth_sweep(fig: Figure, rows: list[dict]) -> Callable:
    """Final loss against the step size, one curve for each depth from light (shallow) to dark (deep), the mean over seeds; the best points are
    marked, at the edge where they lie outside.

    method, multiplier: names in the table. Step sizes are in octaves from the best one at the least depth.
    """
    ax = fig.subplots()
    depths, table = sorted({r["depth"] for r in rows}), {}
    for r in rows:
        table.setdefault((r["method"], r["multiplier"], r["depth"]), {}).setdefault(r["log2_step"], []).append(r["loss"])
    mean = {key: (np.array(sorted(found)), np.array([np.exp(np.mean(np.log(found[s]))) for s in sorted(found)])) for key, found in table.items()}
    curves = [ax.plot([], [], "-", color=c, label=str(depth))[0] for depth, c in zip(depths, _shades(len(depths)), strict=True)]
    best = [ax.plot([], [], "o", color=c, ms=7, mec="black", mew=0.6, clip_on=False)[0] for c in _shades(len(depths))]
    ax.set(xlabel="step size, octaves from the best at depth 2", ylabel="training loss after 60 steps", yscale="log", ylim=(0.09, 2.0), xlim=(-6, 5))
    ax.legend(title="depth", loc="center left", bbox_to_anchor=(1.0, 0.5))
    title = ax.set_title(" ")

    def move(method, multiplier):
        steps, loss = mean[method, multiplier, depths[0]]
        origin = steps[loss.argmin()]
        for depth, curve, dot in zip(depths, curves, best, strict=True):
            steps, loss = mean[method, multiplier, depth]
            loss = np.where(np.isfinite(loss), np.minimum(loss, 1e3), 1e3)
            curve.set_data(steps - origin, loss)
            dot.set_data(np.clip([steps[loss.argmin()] - origin], -6, 5), np.clip([loss.min()], 0.09, 2.0))
        title.set_text(f"{method}, multiplier {multiplier}")

    return move


def depth_drifts(fig: Figure, depths: Sequence[int], best: dict[tuple[str, str], np.ndarray]) -> None:
    """Above: how far the best step size moves as the network gets deeper, in octaves. Below: the loss that it reaches. One panel a method, one
    line a multiplier of the blocks, a band over the seeds.

    best: {(method, multiplier): [2, seeds, depths]}, log2 of the best step size and its loss.
    """
    methods = list(dict.fromkeys(method for method, _ in best))
    panels = fig.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False)
    looks = {"1/L": (BLUE, "v"), "1/√L": (GREEN, "^"), "1": (ORANGE, "o")}
    for (method, multiplier), (steps, losses) in best.items():
        color, marker = looks[multiplier]
        for ax, values in zip(panels[:, methods.index(method)], (steps - steps[:, :1], losses), strict=True):
            ax.plot(np.log2(depths), values.mean(0), color=color, marker=marker, ms=4, label=multiplier)
            ax.fill_between(np.log2(depths), values.min(0), values.max(0), color=color, alpha=0.15, lw=0)
    for ax, method in zip(panels[0], methods, strict=True):
        ax.set_title(method)
        ax.axhspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    for ax in panels[1]:
        ax.set(yscale="log", xticks=np.log2(depths[::2]), xticklabels=depths[::2], xlabel="depth L", ylim=(0.1, 0.5))
        ax.set_yticks([0.1, 0.2, 0.5], ["0.1", "0.2", "0.5"])
        ax.minorticks_off()
    panels[0, 0].set(ylabel="drift, octaves", ylim=(-5, 3))
    panels[1, 0].set(ylabel="best loss")
    fig.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


# Lecture 12


def march(s: np.ndarray, scheme: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """[steps + 1, ...]: numbers s under p(s) = a s + b s^3 + c s^5 for one (a, b, c) after the other; cut off at 10."""
    path = [s]
    for a, b, c in scheme:
        s = path[-1]
        path.append(np.clip(s * (a + s * s * (b + s * s * c)), -10, 10))
    return np.array(path)


def newton_schulz_march(fig: Figure, s: np.ndarray) -> Callable:
    """Left: where each singular value between 0.001 and 1 has got to, with dots for those of a gradient. Right: the way of these, step by step.

    a, b, c: one step takes s to a s + b s^3 + c s^5. steps: how many have been taken.
    """
    left, right = fig.subplots(1, 2)
    grid, few, most = np.geomspace(1e-3, 1, 300), np.sort(s)[:: max(1, len(s) // 16)], 12
    for ax in (left, right):
        ax.axhline(1, color=GREY, lw=1)
    curve, = left.semilogx([], [], color=BLUE)
    dots, = left.semilogx([], [], "o", color=ORANGE, ms=4)
    left.set(xlim=(1e-3, 1.05), ylim=(-0.1, 1.6), xlabel="singular value at the start", ylabel="after the steps")
    ways = [right.semilogy([], [], color=ORANGE, lw=1)[0] for _ in few]
    now = right.axvline(0, color=BLUE, lw=1.5)
    right.set(xlim=(0, most), ylim=(1e-3, 4), xlabel="step", ylabel="singular value")
    title = left.set_title(" ")
    words = right.set_title(" ")

    def move(a, b, c, steps):
        scheme = ((a, b, c),) * most
        curve.set_data(grid, march(grid, scheme)[steps])
        path = march(few, scheme)
        dots.set_data(few, path[steps])
        for way, values in zip(ways, path.T, strict=True):
            way.set_data(range(most + 1), np.where(values > 0, values, np.nan))
        now.set_xdata([steps, steps])
        title.set_text(f"one step takes 1 to a + b + c = {a + b + c:.3f}")
        large = path[steps][few >= 0.01]
        words.set_text(f"from 0.01 upwards: now in [{large.min():.2f}, {large.max():.2f}]")

    return move


def schemes(fig: Figure, named: dict[str, Sequence[tuple[float, float, float]]]) -> None:
    """Where whole Newton-Schulz schemes take a singular value between 0.0001 and 1: all flat at the right, and falling to 0 at the left."""
    ax = fig.subplots()
    s = np.geomspace(1e-4, 1, 2000)
    ax.axhline(1, color=GREY, lw=1)
    for (name, scheme), color in zip(named.items(), (GREY, SKY, ORANGE, BLUE), strict=False):
        ax.semilogx(s, march(s, scheme)[-1], color=color, label=f"{name}, {len(scheme)} steps")
    ax.set(xlabel="singular value, over the Frobenius norm", ylabel="after all steps", ylim=(0, 1.3))
    ax.legend()


FAMILY = {"G": BLUE, "sign(G)": ORANGE, "U V^T": GREEN, "U S^(1/3) V^T": SKY, "u v^T": PINK, "rows of G": "black", "one entry": GREY}
"""A colour for each thing that a dual map can do to a gradient."""


def dual_maps(fig: Figure, spectra: dict[str, np.ndarray], gradient: np.ndarray, rows: list[dict]) -> Callable:
    """Left: singular values of the gradient of a hidden layer (grey) and of the first step that a rule makes of it. Right: final loss against
    the step size in octaves from the best one, for this rule and, in grey, all others.

    rule: a name in the tables. spectra: {rule: [r]} and gradient: [r], descending.
    """
    left, right = fig.subplots(1, 2)
    index, curves = np.arange(1, len(gradient) + 1), {}
    for name in spectra:
        octaves = np.unique([r["log2_step"] for r in rows if r["rule"] == name])
        loss = np.array([np.mean([r["loss"] for r in rows if (r["rule"], r["log2_step"]) == (name, e)]) for e in octaves])
        curves[name] = octaves - octaves[loss.argmin()], np.minimum(loss, 10.0)
        right.semilogy(*curves[name], color=GREY, lw=0.8)
    left.semilogy(index, gradient / gradient[0], color=GREY, label="gradient")
    line, = left.semilogy([], [], color=BLUE, label="step")
    left.set(xlabel="index", ylabel="singular value / largest", ylim=(1e-5, 2))
    left.legend(loc="lower left")
    curve, = right.semilogy([], [], "o-", color=BLUE, ms=4, zorder=5)
    right.set(xlabel="step size, octaves from the best", ylabel="loss after 100 steps", ylim=(0.08, 0.6), xlim=(-4.2, 4.2), yticks=(0.1, 0.2, 0.4),
              yticklabels=("0.1", "0.2", "0.4"))
    right.minorticks_off()
    title = left.set_title(" ")

    def move(rule):
        line.set_data(index, spectra[rule] / (spectra[rule][0] or 1.0))  # greedy descent does not move this layer
        curve.set_data(*curves[rule])
        title.set_text(rule)

    return move


def ranking(fig: Figure, losses: dict[str, np.ndarray], directions: dict[str, str]) -> None:
    """The least loss of every rule, one dot a seed, from the best rule at the top to the worst; the colour says what it makes of a first gradient."""
    ax = fig.subplots()
    order = sorted(losses, key=lambda name: -np.mean(losses[name]))
    for i, name in enumerate(order):
        ax.semilogx(losses[name], [i] * len(losses[name]), "o", color=FAMILY[directions[name]], ms=5)
    ax.set(yticks=range(len(order)), yticklabels=order, ylabel="rule", xlabel="loss after 100 steps, with the best step size",
           xticks=(0.1, 0.2, 0.4), xticklabels=("0.1", "0.2", "0.4"), ylim=(-0.7, len(order) - 0.3))
    ax.minorticks_off()
    for name, color in FAMILY.items():
        ax.plot([], [], "o", color=color, label=name)
    ax.legend(title="first step", loc="upper right")


# Lecture 13

def steps_by_width(fig: Figure, rows: list[dict]) -> None:
    """Loss on unseen text against the step size, one panel an optimizer and one curve a width, light (narrow) to dark (wide); the mean over seeds.

    rows: tables with optimizer, width, log2_step and loss.
    """
    widths, names = sorted({r["width"] for r in rows}), list(dict.fromkeys(r["optimizer"] for r in rows))
    panels = fig.subplots(1, len(names), sharey=True)
    for ax, name in zip(panels, names, strict=True):
        for width, color in zip(widths, _shades(len(widths)), strict=True):
            mine = [r for r in rows if (r["optimizer"], r["width"]) == (name, width)]
            steps = sorted({r["log2_step"] for r in mine})
            mean = [np.mean([min(r["loss"], 99) for r in mine if r["log2_step"] == s]) for s in steps]
            ax.plot(steps, mean, "o-", ms=3, color=color, label=str(width))
        ax.set(xlabel="log$_2$ of the step size", ylim=(2.1, 3.3))
        ax.set_title(name)
    panels[0].set(ylabel="loss")
    panels[-1].legend(title="width", loc="upper left")

def attention_rows(fig: Figure, p: np.ndarray, text: str) -> Callable:
    """Left: the attention weights of one head, a triangle: row t holds the places that character t looks at. Right: one row of it, as bars.

    p: [T, T]; t: the row.
    """
    left, right = fig.subplots(1, 2, width_ratios=(1, 2))
    T, letters = len(text), [{" ": "␣", "\n": "¶"}.get(c, c) for c in text]
    left.imshow(p, cmap="Blues", vmin=0, vmax=p.max())
    left.set(xlabel="looked at", ylabel="row t")
    left.grid(False)
    frame = left.axhline(0, color=ORANGE, lw=2)
    bars = right.bar(range(T), np.zeros(T), color=BLUE, width=0.8)
    right.set(ylim=(0, 1.05 * p.max()), xlim=(-1, T), xticks=range(T), xticklabels=letters, xlabel="character", ylabel="weight")
    title = right.set_title(" ")

    def move(t):
        frame.set_ydata([t, t])
        for bar, height in zip(bars, p[t], strict=True):
            bar.set_height(height)
        title.set_text(f"row {t}, at “{letters[t]}”: {t + 1} weights, sum {p[t].sum():.3f}")

    return move


def memory_by_buffer(fig: Figure, d: int, heads: int, vocabulary: int) -> Callable:
    """Bytes of each kind of buffer when a transformer is trained on one sequence in float32, on a logarithmic axis; their sum in the title.

    L: blocks; T: context; checkpoints: which values are computed again instead of kept.
    """
    ax = fig.subplots()
    sizes = lambda L, T, checkpoints: gpt_buffers(d, heads, L, round(T), vocabulary, checkpoints=checkpoints)
    names = list(sizes(1, 1, "none"))
    names.insert(2, "Adam's two means")
    bars = ax.barh(names, np.ones(len(names)), color=[GREY] * 3 + [BLUE, GREEN, ORANGE, SKY, PINK])
    ax.invert_yaxis()
    ax.set(xscale="log", xlim=(1e-4, 1e3), xlabel="gigabytes", ylabel="buffer")
    title = ax.set_title(" ")

    def move(L, T, checkpoints):
        numbers = sizes(L, T, checkpoints)
        numbers["Adam's two means"] = 2 * numbers["weights"]
        for bar, name in zip(bars, names, strict=True):
            bar.set_width(4e-9 * numbers[name])
        total, text = sum(numbers.values()), sum(numbers[name] for name in names[3:])
        title.set_text(f"{L} blocks, {round(T)} tokens: {4e-9 * total:.3g} GB, of which {4e-9 * text:.3g} GB depend on the text")

    return move


def isoflop(fig: Figure, valleys: dict[str, tuple[np.ndarray, np.ndarray]]) -> Callable:
    """Final loss against the number of weights, a valley for each budget of operations; the chosen one in blue, with a parabola and its lowest point.

    valleys: {name: (weights [n], losses [seeds, n])}; budget: a name.
    """
    ax = fig.subplots()
    fits = {}
    for name, (sizes, losses) in valleys.items():
        ax.plot(np.log2(sizes), losses.mean(0), "o", color=GREY, ms=3)
        near = losses.mean(0) < losses.mean(0).min() + 0.25  # the walls of a valley are no parabola
        fits[name] = np.log2(sizes[near]), np.polyfit(np.log2(sizes[near]), losses.mean(0)[near], 2)
    dots, = ax.plot([], [], "o", color=BLUE, ms=5)
    curve, = ax.plot([], [], color=BLUE)
    lowest = ax.axvline(0, color=ORANGE, lw=1.2, ls="--")
    losses = np.concatenate([losses.ravel() for _, losses in valleys.values()])
    octaves = np.log2(np.concatenate([sizes for sizes, _ in valleys.values()]))
    ax.set(xlabel="weights, octaves (log$_2$ N)", ylabel="loss on unseen text", xlim=(octaves.min() - 0.5, octaves.max() + 0.5),
           ylim=(losses.min() - 0.05, losses.max() + 0.05))
    title = ax.set_title(" ")

    def move(budget):
        sizes, losses = valleys[budget]
        dots.set_data(np.tile(np.log2(sizes), len(losses)), losses.ravel())
        near, (a, b, c) = fits[budget]
        x = np.linspace(near.min(), near.max(), 50)
        curve.set_data(x, (a * x + b) * x + c)
        best = -b / (2 * a)
        lowest.set_xdata([best, best])
        title.set_text(f"{budget}: least at {2 ** best:,.0f} weights")

    return move
