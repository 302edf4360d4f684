"""The state before the first step of a run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray, PyTree

from hrm_jax.core.protocols import RecurrentModel
from hrm_jax.core.types import Variables
from hrm_jax.training.state import Optimizers, TrainState, state_shardings
from hrm_jax.training.task import Task


def begin(task: Task, mesh: Mesh) -> TrainState:
    """Returns the state before the first step, sharded as in training."""
    shardings = state_shardings(abstract_state(task), mesh)
    # Initialised under `jit`, so that each device computes its own shards and none holds it all.
    init = jax.jit(functools.partial(_init, task), out_shardings=shardings)
    state = init(jax.random.key(task.config.seed))
    variables = task.start_from(state.variables)
    if variables is state.variables:
        return state
    restart = functools.partial(state_from_variables, task.model_at(0), task.optimizers)
    batch = _empty_batch(task)
    return jax.jit(restart, out_shardings=shardings)(variables, state.key, batch)


def abstract_state(task: Task) -> TrainState:
    """Returns the shapes and dtypes of the state."""
    return jax.eval_shape(functools.partial(_init, task), jax.random.key(task.config.seed))


def init_state(
    model: RecurrentModel, optimizers: Optimizers, key: PRNGKeyArray, batch: PyTree
) -> TrainState:
    """Returns the state before the first step.

    Args:
      model: the model to initialise.
      optimizers: its optimisers.
      key: root of initialisation and training randomness.
      batch: any batch of the shape to train on; its values are not used.
    """
    # Two keys: what training draws does not depend on what the model draws for its parameters.
    init_key, train_key = jax.random.split(key)
    return state_from_variables(model, optimizers, model.init(init_key), train_key, batch)


def state_from_variables(
    model: RecurrentModel,
    optimizers: Optimizers,
    variables: Variables,
    key: PRNGKeyArray,
    batch: PyTree,
) -> TrainState:
    """Returns the state before the first step for given variables, such as converted ones.

    Args:
      model: the model.
      optimizers: its optimisers.
      variables: the values to start from.
      key: root of training randomness.
      batch: any batch of the shape to train on; its values are not used.
    """
    # Weakly typed values become strongly typed in the first step, which would be compiled again.
    variables = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), variables)
    table = variables.puzzle_rows
    return TrainState(
        step=jnp.zeros([], jnp.int32),
        key=key,
        variables=variables,
        opt_state=optimizers.dense.init(variables.params),
        row_opt_state=None if table is None else optimizers.rows.init(table),
        carry=model.initial_carry(variables, batch),
    )


def _init(task: Task, key: jax.Array) -> TrainState:
    return init_state(task.model_at(0), task.optimizers, key, _empty_batch(task))


def _empty_batch(task: Task) -> Any:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), task.abstract_batch())
