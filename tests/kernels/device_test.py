"""What the choice of a kernel knows of a device, from its object, a mesh, or an argument."""

import inspect
import types

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

import hrm_kernels
from hrm_kernels.device import Device, device_of


def abstract_mesh(kind: str, platform: str) -> AbstractMesh:
    about = {"device_kind": kind, "num_cores": None}
    if "platform" in inspect.signature(AbstractDevice).parameters:  # not in jax 0.10.0
        about["platform"] = platform
    return AbstractMesh((), (), abstract_device=AbstractDevice(**about))


CARDS = [
    ("NVIDIA H100 80GB HBM3", (9, 0), "hopper"),
    ("NVIDIA H200", (9, 0), "hopper"),
    ("NVIDIA A100-SXM4-80GB", (8, 0), "ampere"),
    ("NVIDIA A10G", (8, 6), "ampere_small"),
    ("NVIDIA GeForce RTX 3090", (8, 6), "ampere_small"),
    ("NVIDIA L40S", (8, 9), "ada"),
    ("NVIDIA L4", (8, 9), "ada"),
    ("NVIDIA GeForce RTX 4090", (8, 9), "ada"),
    ("NVIDIA B200", (10, 0), "blackwell"),
    ("NVIDIA GB300", (10, 3), "blackwell"),
    ("NVIDIA GeForce RTX 5090", (12, 0), "blackwell_small"),
    ("Tesla V100-SXM2-16GB", None, None),
]


@pytest.mark.parametrize(("kind", "capability", "generation"), CARDS)
def test_a_mesh_names_the_card(kind, capability, generation):
    with jax.sharding.use_abstract_mesh(abstract_mesh(kind, "cuda")):
        found = device_of()
    assert found == Device("cuda" if kind.startswith("NVIDIA") else found.platform, capability)
    assert found.generation == generation


@pytest.mark.parametrize(("kind", "platform"), [("TPU v5 lite", "tpu"), ("cpu", "cpu")])
def test_a_mesh_names_other_platforms(kind, platform):
    with jax.sharding.use_abstract_mesh(abstract_mesh(kind, platform)):
        assert device_of() == Device(platform)


def test_a_device_states_its_capability():
    card = types.SimpleNamespace(
        platform="gpu", device_kind="NVIDIA Something New", compute_capability="9.0"
    )
    assert device_of(card) == Device("gpu", (9, 0))
    rocm = types.SimpleNamespace(platform="gpu", device_kind="MI300", compute_capability="gfx942")
    assert device_of(rocm) == Device("gpu")
    assert device_of(jax.devices("cpu")[0]) == Device("cpu")
    assert device_of(Device("gpu", (8, 9))).generation == "ada"


def test_without_a_mesh_it_is_the_device_at_hand(monkeypatch):
    assert device_of() == Device("cpu")
    # Where a test pretends to a platform, the card is not known.
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert device_of() == Device("gpu")


def test_an_unknown_capability_has_no_generation():
    assert Device("gpu", (7, 0)).generation is None
    assert Device("gpu").generation is None


def test_attention_is_chosen_for_the_mesh_inside_jit():
    """An ahead-of-time target's kernels, without being asked for by name."""
    shape = jax.ShapeDtypeStruct((1, 82, 2, 32), jnp.bfloat16)
    paths = []

    def attend(x):
        paths.append(hrm_kernels.explain(x, x, x))
        return hrm_kernels.attention(x, x, x)

    with jax.sharding.use_abstract_mesh(abstract_mesh("NVIDIA H100 80GB HBM3", "cuda")):
        jaxpr = jax.make_jaxpr(jax.jit(attend))(shape)
    assert (paths[0].path, paths[0].case.generation) == ("gpu_resident", "hopper")
    assert "attention_resident" in str(jaxpr)


def test_the_argument_comes_before_the_mesh():
    shape = jax.ShapeDtypeStruct((1, 82, 2, 32), jnp.bfloat16)
    with jax.sharding.use_abstract_mesh(abstract_mesh("NVIDIA H100 80GB HBM3", "cuda")):
        found = hrm_kernels.explain(shape, shape, shape, device=jax.devices("cpu")[0])
    assert (found.platform, found.path) == ("cpu", "xla_short")
