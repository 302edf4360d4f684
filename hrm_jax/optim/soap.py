"""SOAP: Adam-atan2 in the eigenbases of each matrix's gradients.

Source: Vyas et al., arXiv 2409.11321. What differs: atan2 in place of Adam's division, blocks, and
that rounding is not enlarged in directions that no gradient has (`eigenbases.above_noise`).

The first moment is kept in the parameter's own coordinates, so that bases turn without changing it.
The second is kept in the bases' and not turned with them, as published; as in the authors' code it
goes with its directions where these change places in the order of eigenvalues.

State, in float32 numbers per number of the parameter: Adam-atan2 keeps 2; a matrix in blocks of
r x c keeps `2 + 2 (r / c + c / r)`, 6 where they are square. Vectors and embeddings keep 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.numerics import arctan2_right
from hrm_jax.core.types import Params
from hrm_jax.optim import eigenbases
from hrm_jax.optim.eigenbases import Bases
from hrm_jax.optim.schedules import rate_at


class SoapState(NamedTuple):
    """State of `soap`; all its floats are float32.

    Attributes:
      count: updates done, int32.
      mu: first moments, shaped as the parameters.
      nu: second moments, by the parameter's path: those of matrices [blocks, rows, columns] in
        their bases, all others shaped as the parameter.
      bases: of the matrices, by the parameter's path.
    """

    count: Int[Array, ""]
    mu: Params
    nu: dict[str, Float[Array, "..."]]
    bases: dict[str, Bases]


def soap(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.0,
    *,
    average_decay: float = 0.95,
    refresh_every: int = 10,
    largest_block: int = 256,
) -> optax.GradientTransformation:
    """Returns the transformation of SOAP with decoupled weight decay.

    A parameter is a matrix if its last two axes are longer than 1, and it is no `nnx.Variable` with
    an axis called "entries", as tables of embeddings are. Axes before these two number stacked
    matrices. All other parameters are updated as by `adam_atan2`.

    Bases are refreshed at the end of an update, so that no gradient is turned into a basis that it
    took part in. The first update is that of `adam_atan2`; from its gradients the first bases are
    computed, as eigenvectors.

    Args:
      learning_rate: a number, or a schedule called with the number of updates done before.
      b1: decay of the first moment.
      b2: decay of the second moment.
      weight_decay: decoupled weight decay, multiplied by the learning rate.
      average_decay: decay of the averages of `G G^T` and `G^T G`.
      refresh_every: number of updates from one refresh of the bases to the next.
      largest_block: most rows, and most columns, of a block that has bases of its own.

    Returns:
      The transformation; its `update` needs the parameters, and returns float32 for any dtype.
    """

    def init(params: Params) -> SoapState:
        matrices = _matrices(params)
        bases = {
            name: eigenbases.identity_bases(p.shape, largest_block) for name, p in matrices.items()
        }
        shapes = {name: p.shape for name, p in _by_name(params).items()}
        # Second moments of matrices are kept block by block, in the bases' coordinates.
        shapes |= {name: both.blocks_shape for name, both in bases.items()}
        mu = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params)
        nu = {name: jnp.zeros(shape, jnp.float32) for name, shape in shapes.items()}
        return SoapState(jnp.zeros([], jnp.int32), mu, nu, bases)

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("soap needs the parameters: call update(grads, state, params)")
        rate = rate_at(learning_rate, state.count)
        count = state.count + 1
        step_size = rate / (1 - b1**count)
        # Adam's corrections of moments that begin at zero.
        root_correction = jax.lax.rsqrt(1 - b2**count)
        gradients = jax.tree.map(lambda g: g.astype(jnp.float32), updates)
        mu = jax.tree.map(lambda m, g: m + (1 - b1) * (g - m), state.mu, gradients)
        named = _by_name(gradients)
        turned = {name: eigenbases.turn_in(b, named[name]) for name, b in state.bases.items()}
        seen = named | turned
        nu = {name: v + (1 - b2) * (jnp.square(seen[name]) - v) for name, v in state.nu.items()}

        def delta(path, m, p):
            name = _name(path)
            root = jnp.sqrt(nu[name]) * root_correction
            direction = _direction(m, root, state.bases.get(name))
            return -rate * weight_decay * p.astype(jnp.float32) - step_size * direction

        # By path, as second moments and bases are kept by name.
        deltas = jax.tree_util.tree_map_with_path(delta, mu, params)
        bases = {n: eigenbases.observe(b, named[n], average_decay) for n, b in state.bases.items()}
        # `cond`, so that the decompositions run at a refresh alone.
        bases, nu = jax.lax.cond(
            (count == 1) | (count % refresh_every == 0),
            lambda bases, nu: eigenbases.refresh(bases, nu, first=count == 1),
            lambda bases, nu: (bases, nu),
            bases,
            nu,
        )
        return deltas, SoapState(count, mu, nu, bases)

    return optax.GradientTransformation(init, update)


def _direction(m: Array, root: Array, bases: Bases | None) -> Array:
    """Returns atan2 of a first moment and the root of a second, which is in `bases` if not None."""
    if bases is None:
        return arctan2_right(m, root)
    turned = arctan2_right(eigenbases.turn_in(bases, m), eigenbases.above_noise(root))
    return eigenbases.turn_out(bases, turned, m.shape)


def _matrices(params: Params) -> dict[str, Array]:
    """Returns the parameters that are matrices and no tables of embeddings, by name."""
    found = {}
    # Variables as a whole, since their axis names tell which of them are embeddings.
    for path, node in jax.tree_util.tree_leaves_with_path(params, is_leaf=_is_variable):
        axes = node.get_metadata().get("axes", ()) if _is_variable(node) else ()
        if "entries" not in axes:
            leaves = _by_name(node, path)
            found |= {n: p for n, p in leaves.items() if p.ndim > 1 and min(p.shape[-2:]) > 1}
    return found


def _is_variable(node: Any) -> bool:
    return isinstance(node, nnx.Variable)


def _by_name(tree: Any, above: tuple[Any, ...] = ()) -> dict[str, Array]:
    """Returns the leaves of a tree by their names; `above` is the path to the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name((*above, *path)): leaf for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
