"""The pictures of the course. Each function draws what stands still into a Figure and returns `move`, which updates what moves (or None).

The first paragraph of each docstring is the picture's alternative text.
"""
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from .norms import Euclidean, Lp, Manhattan, Max, Norm, Polygon, Weighted

BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#888888"
"""Okabe & Ito's colours, told apart by all readers."""

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
    words = ax.text(0, 2.55, "", ha="center")

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
    right.set(yscale="log", ylim=(1e-4, 1e2), ylabel="|error| / |error at the start|", xticks=range(len(values)),
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
    ax.contour(X, Y, 0.5 * (grid * (grid @ A)).sum(-1), levels=np.geomspace(0.02, 20, 12), colors=GREY, linewidths=0.7, alpha=0.7)


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

    method: a name in `rules`; step: step size times curvature; beta.
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
    middle.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xlabel="real part")
    error, = right.plot([], [], "o-", color=BLUE, ms=3, lw=1)
    right.set(xlabel="step", ylim=(-1.6, 1.6), xlim=(-1, 41))
    right.set_title("error")
    left_title, middle_title = left.set_title(" "), middle.set_title(" ")

    def move(method, step, beta):
        M = rules[method].matrix(step, beta)
        r, e = np.linalg.eigvals(M), [1.0, 1.0]
        for _ in range(40):
            e.append(float(np.clip(M[0] @ [e[-1], e[-2]], -9, 9)))
        picture.set_data(np.minimum(radius[method], 1.2))
        here.set_data([step], [beta])
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
    notes = {n: ax.text(PLACES[n][0], PLACES[n][1] - 0.5, "", ha="center", color=ORANGE, zorder=5) for n in order}

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
    ax.legend(loc="upper right")
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


def _plane(ax, title: str, size: float) -> None:
    ax.set(aspect="equal", xlim=(-size, size), ylim=(-size, size))
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
    _plane(left, "steps: norm(d) ≤ 1", 2.1)
    _plane(right, "gradients: |g|* ≤ 1", 2.1)
    shape, = left.plot([], [], color=BLUE)
    dual, = right.plot([], [], color=ORANGE)
    touch, = left.plot([], [], "--", color=GREY, lw=1)
    gradient, step, unit = _arrow(left, ORANGE, "g"), _arrow(left, BLUE, "d = dualize(g)"), _arrow(right, ORANGE, "g / |g|*")
    left.legend(loc="lower right")
    right.legend(loc="lower right")
    words = left.text(-2.0, 1.8, "")

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
    _plane(left, "your unit ball", 2.3)
    _plane(right, "your optimizer", 2.6)
    _contours(right, A)
    shape, = left.plot([], [], "-", color=BLUE)
    corners, = left.plot([], [], "s", color=GREY, ms=4)
    gradient, step = _arrow(left, ORANGE, "g"), _arrow(left, BLUE, "dualize(g)")
    left.legend(loc="lower right")
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


# Lecture 10


def gain(fig: Figure, W: np.ndarray) -> Callable:
    """Left: inputs of length 1. Right: where a matrix sends them, an ellipse whose half axes are the singular values, with the gain of one input.

    angle of the input in degrees.
    """
    left, right = fig.subplots(1, 2)
    size = 1.15 * np.linalg.norm(W, 2)
    _plane(left, "inputs x, |x| = 1", 1.4)
    _plane(right, "outputs W x", size)
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
    return [(0.75 - 0.75 * i, 0.87 - 0.6 * i, 0.95 - 0.35 * i) for i in np.linspace(0, 1, n)]


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


def spectra(fig: Figure, values: dict[str, np.ndarray], ylabel: str = "singular value") -> None:
    """Singular values or eigenvalues from the largest to the smallest, one line a matrix, on a logarithmic axis."""
    ax = fig.subplots()
    for (name, s), color in zip(values.items(), (BLUE, ORANGE, GREEN, PINK), strict=False):
        ax.semilogy(np.arange(1, len(s) + 1), s, color=color, label=name)
    top = max(s.max() for s in values.values())
    ax.set(xlabel="index", ylabel=ylabel, ylim=(1e-6 * top, 2 * top))
    ax.legend()
