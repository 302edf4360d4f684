"""All that training changes, as one pytree, and the sharding of each of its arrays."""

import dataclasses

import jax
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from hrm_jax.core.mesh import batch_sharding, layer_shardings
from hrm_jax.core.types import Variables
from hrm_jax.optim.ema import averaged_params


@dataclasses.dataclass(frozen=True)
class Optimizers:
    """The two optimisers of a model.

    Attributes:
      dense: for the trained parameters; may end with `params_ema`.
      rows: for the puzzle table, on `SparseRows`; unused by a model without one.
    """

    dense: optax.GradientTransformation
    rows: optax.GradientTransformation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of a run between two steps.

    Attributes:
      step: updates done, int32.
      key: root of all randomness in training; never changes, step n uses `fold_in(key, n)`.
      variables: the model's values.
      opt_state: state of the dense optimiser, including any average of the parameters.
      row_opt_state: of the row optimiser; None without puzzle rows.
      carry: the unfinished sequences, leaves [B, ...]; None for text.
    """

    step: Int[Array, ""]
    key: PRNGKeyArray
    variables: Variables
    opt_state: optax.OptState
    row_opt_state: optax.OptState | None
    carry: PyTree

    @property
    def averaged_variables(self) -> Variables:
        """The variables to evaluate with: averaged ones if the optimiser keeps an average."""
        params = averaged_params(self.opt_state, self.variables.params)
        return dataclasses.replace(self.variables, params=params)


def state_shardings(state: TrainState, mesh: Mesh) -> TrainState:
    """Returns the sharding of every leaf, as a pytree like `state` (which may be abstract).

    The carry is split over the mesh's `data` axis; parameters, and the optimiser's moments and
    averages of them, as `layer_shardings` says; all else is replicated, SOAP's bases and second
    moments among it.
    """
    # An optimiser's moments are trees of the same `Variable`s, so they get the axis names of the
    # parameters without being treated apart.
    shardings = layer_shardings(state, mesh)
    carry = jax.tree.map(lambda _: batch_sharding(mesh), state.carry)
    return dataclasses.replace(shardings, carry=carry)
