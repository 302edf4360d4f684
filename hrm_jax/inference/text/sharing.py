"""A language model that is too large for one device: several share each of its layers."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.config import ConfigError, check
from hrm_jax.core.mesh import (
    MeshConfig,
    layer_shardings,
    make_mesh,
    with_ambient_mesh,
)
from hrm_jax.core.protocols import LanguageModel, TextCache
from hrm_jax.core.types import Variables
from hrm_jax.nn.quantized import QuantizedWeights


@dataclasses.dataclass(frozen=True)
class SharedModel:
    """A language model over a mesh, in place of the model itself; see `LanguageModel`.

    Heads and MLPs are split over the mesh's `model` axis, and so are the keys and values in caches
    where the devices divide them. XLA splits the rest of each step by these.

    Attributes:
      model: the model.
      mesh: the devices.
    """

    model: LanguageModel
    mesh: Mesh

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.model.vocab_size

    @property
    def config(self) -> Any:
        """The model's."""
        return getattr(self.model, "config")  # noqa: B009  the protocol has none

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, each with its share on every device."""
        return share_variables(self.model.init(key), self.mesh)

    def logits(
        self, variables: Variables, tokens: Int[Array, "B T"], **kwargs: Any
    ) -> Float[Array, "B T V"]:
        """As `LanguageModel.logits`."""
        return self._over_mesh(self.model.logits)(variables, tokens, **kwargs)

    def prefill(
        self, variables: Variables, tokens: Int[Array, "B T"], **kwargs: Any
    ) -> tuple[Float[Array, "B V"], TextCache]:
        """As `LanguageModel.prefill`."""
        # Split at once: a whole cache on one device is what need not fit.
        logits, cache = self._over_mesh(self.model.prefill)(variables, tokens, **kwargs)
        return logits, self._split(cache)

    def empty_cache(self, B: int, room: int) -> TextCache:
        """As `LanguageModel.empty_cache`."""
        return self._split(self.model.empty_cache(B, room))

    def extend(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: Any, counts: Int[Array, " B"]
    ) -> tuple[Float[Array, "B V"], TextCache]:
        """As `LanguageModel.extend`."""
        logits, cache = self._over_mesh(self.model.extend)(variables, tokens, cache, counts)
        return logits, self._split(cache)

    def splice(self, cache: Any, other: Any, *places: Int[Array, ""]) -> TextCache:
        """As `LanguageModel.splice`."""
        return self._split(self._over_mesh(self.model.splice)(cache, other, *places))

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: Any
    ) -> tuple[Float[Array, "B T V"], TextCache]:
        """As `LanguageModel.decode`."""
        logits, cache = self._over_mesh(self.model.decode)(variables, tokens, cache)
        return logits, self._split(cache)

    def _over_mesh(self, function: Any) -> Any:
        return with_ambient_mesh(function, self.mesh)

    def _split(self, cache: Any) -> Any:
        """Returns a cache whose keys and values, [C, S, M * K], are split by rows and heads."""

        def split(leaf: Array) -> Array:
            names: list[str | None] = [None] * leaf.ndim
            for axis, name in ((0, "data"), (2, "model")):
                # Lengths have fewer axes and stay whole.
                if leaf.ndim == 3 and leaf.shape[axis] % self.mesh.shape[name] == 0:
                    names[axis] = name
            sharding = NamedSharding(self.mesh, PartitionSpec(*names))
            return jax.lax.with_sharding_constraint(leaf, sharding)

        return jax.tree.map(split, cache)


def share_variables(variables: Variables, mesh: Mesh) -> Variables:
    """Returns variables of which each device of a mesh holds its share."""
    return jax.device_put(variables, layer_shardings(variables, mesh))


def share(model: LanguageModel, variables: Variables, devices: int) -> tuple[Any, Variables]:
    """Returns a model and variables that so many devices share.

    Raises:
      ConfigError: there are fewer devices, they do not divide the heads of attention, or the
        weights are quantised, whose blocks stay whole.
    """
    found = jax.devices()
    check(
        devices <= len(found),
        "model_devices",
        expected=f"at most {len(found)}, the devices that JAX finds",
        got=devices,
        remedy="choose fewer",
    )
    # As a whole: below, they are arrays like any others.
    leaves = jax.tree.leaves(variables, is_leaf=lambda one: isinstance(one, QuantizedWeights))
    check(
        not any(isinstance(one, QuantizedWeights) for one in leaves),
        "model_devices",
        expected="floating-point weights",
        got="quantised ones",
        remedy="load them by --dtype=bfloat16",
    )
    mesh = make_mesh(MeshConfig(data=1, model=devices), found[:devices])
    shared = SharedModel(model, mesh)
    # What cannot be split is refused here, before weights are moved, and not at the first text.
    tokens = jax.ShapeDtypeStruct((1, 1), np.int32)
    try:
        jax.eval_shape(functools.partial(shared.prefill, room=1), variables, tokens)
    except ValueError as error:
        told = f"{devices} devices cannot share this model ({error}); choose another number"
        raise ConfigError("model_devices", told) from error
    return shared, share_variables(variables, mesh)
