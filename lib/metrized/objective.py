"""Objective: a loss of a module on data, as a function of the weights alone, with its gradient and its second-order products."""
from collections.abc import Callable

from .arrays import Array, is_array, namespace, shapes
from .modules import Module
from .vectors import Covector, Vector


class Objective:
    """L(w) = loss(module(x, w), t). Call it for the value; the methods give derivatives.

    x and t are arrays. Raises TypeError or ValueError at once where they are not, are empty, or hold NaN or infinity; and at the first call
    where the outputs do not fit the targets.
    """

    def __init__(self, module: Module, loss, x: Array, t: Array):
        for name, z in (("x", x), ("t", t)):
            if not is_array(z):
                raise TypeError(f"{name} must be an array, got {type(z).__name__}")
            if z.size == 0:
                raise ValueError(f"{name} is empty, shape {shapes(z)}; an objective needs at least one sample")
            if z.dtype.kind == "f" and not namespace(z).isfinite(z).all():
                raise ValueError(f"{name} holds NaN or infinite numbers; clean the data first")
        self.module, self.loss, self.x, self.t = module, loss, x, t
        self._fits = None  # the shape of the outputs that the targets are known to fit

    def __call__(self, w: Vector) -> Array:
        """The loss at w; [K] losses for an ensemble."""
        return self.loss.linearize(self._outputs(self.module.forward(self.x, w), w), self.t)[0]

    def _outputs(self, y: Array, w: Vector) -> Array:
        """The outputs y, once it is certain that they fit the targets: network by network for an ensemble."""
        K = self.module.networks(w)
        if K and (len(y) != K or y.ndim != self.t.ndim + self.loss.axes + 1):
            raise ValueError(f"the weights hold an ensemble of {K} networks and the outputs have shape {shapes(y)}; they need a leading axis {K}, "
                             "and so does x (or 1, x[None], to share it)")
        if (y.shape, y.dtype) != self._fits:
            self.loss.check(y[0] if K else y, self.t)
            self._fits = y.shape, y.dtype
        return y

    def value_and_grad(self, w: Vector) -> tuple[Array, Covector]:
        """The loss at w and its gradient, by one forward and one backward pass: dL/dw = pull(l')."""
        y, _, pull = self.module.linearize(self.x, w)
        value, slope, _ = self.loss.linearize(self._outputs(y, w), self.t)
        return value, pull(slope, need_dx=False)[1]

    def gradient(self, w: Vector) -> Covector:
        """The gradient at w."""
        return self.value_and_grad(w)[1]

    def hessian(self, w: Vector, v: Vector, step: float = 1e-4) -> Covector:
        """H v as a central difference of gradients: (g(w + h v) - g(w - h v)) / 2h, where h |v|_2 = step * (1 + rms w).

        Two gradients, relative error about 1e-8 in float64. Raises TypeError in float32, where rounding leaves two digits.
        """
        if any(leaf.dtype.itemsize < 8 for leaf in w.leaves()):
            raise TypeError("Hessian products are differences of gradients and need float64 weights and data; cast with .astype(np.float64)")
        length = squares(v) ** 0.5
        if length == 0:
            return Covector(v.nest())
        h = step * (1 + (squares(w) / w.size) ** 0.5) / length
        hv = h * v
        return (self.gradient(w + hv) - self.gradient(w - hv)) / (2 * h)

    def gauss_newton(self, w: Vector) -> Callable[[Vector], Covector]:
        """v -> G v = J^T l'' J v at w: one push, one pull, and no Jacobian is ever formed. G leaves out the curvature of the module."""
        y, push, pull = self.module.linearize(self.x, w)
        _, _, curve = self.loss.linearize(self._outputs(y, w), self.t)
        return lambda v: pull(curve(push(None, v)), need_dx=False)[1]


def squares(v: Vector) -> float:
    """The sum of the squares of all numbers of a Vector."""
    if not isinstance(v, Vector):
        raise TypeError(f"a direction in weight space is a Vector, got {type(v).__name__}; Vector(array) wraps one")
    return sum(float(namespace(leaf).vdot(leaf, leaf)) for leaf in v.leaves())
