"""Optimizers: rules that turn a gradient (a Covector) into a step (a Vector to be added to the weights).

A rule is a value without memory: `state = rule.start(w)`, then `step, state = rule(g, state, w)`; only a rule that looks at the weights needs
w. The state is plain data (numbers, Vectors, Covectors, tuples) that can be pickled, and a run goes on from it exactly where it stopped.
`rule.ruler` says in words under which norm the step is the steepest one.
"""
from .adaptive import Adafactor, Adagrad, Adam, AdamState, Lion, RMSProp  # noqa: F401
from .descent import AGD, LARS, SGD, Fromage, HeavyBall, Nesterov, NormalizedDescent, Rule, SignDescent, SteepestDescent  # noqa: F401
from .matrix import Muon, Shampoo  # noqa: F401
from .second_order import ConjugateGradient, CubicNewton, GaussNewton, LevenbergMarquardt, Newton, hessian_matrix  # noqa: F401
from .wrappers import AdamW, Clipped, Decayed, EightBit, MuP, Penalized, Skipping, state_bytes  # noqa: F401
