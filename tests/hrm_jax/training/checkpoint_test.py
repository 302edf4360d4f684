import json
import shutil
import tempfile

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from flax import nnx

from hrm_jax.training import checkpoint, state_arrays
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.state_arrays import CheckpointError


def make_state(seed=0):
    params = nnx.state(nnx.Linear(3, 4, rngs=nnx.Rngs(seed)))
    return {
        "params": params,
        "opt": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)).init(params),
        "key": jax.random.key(seed),
        "keys": jax.random.split(jax.random.key(seed, impl="rbg"), 3),
        "halted": jnp.array([True, False]),
        "half": jnp.array([1.0, jnp.nan, -0.0, jnp.inf], jnp.bfloat16),
        "nothing": None,
        "no_rows": jnp.zeros((0, 8), jnp.float16),
        "no_keys": jax.random.split(jax.random.key(0), 0),
        "host": {"count": np.int64(seed + 2**40), "table": np.arange(5, dtype=np.int64)},
        "host_half": np.arange(3).astype(ml_dtypes.bfloat16),
        "host_empty": np.zeros((3, 0), np.int8),
        "a.b/c": (jnp.float32(seed), [jnp.uint32(7)]),
    }


def as_bytes(leaf):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), as_bytes(jax.random.key_data(leaf))
    return leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes()


def assert_identical(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    assert jax.tree.map(as_bytes, left) == jax.tree.map(as_bytes, right)


def abstract(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x, state
    )


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", keep=2)


SMALL = {"x": jnp.arange(4.0)}


def save_small(store, *steps):
    for step in steps:
        store.save(step, {"x": jnp.arange(4.0) + step}, {"step": step})


def visible(store):
    return sorted(path.name for path in store.folder.iterdir())


@pytest.mark.parametrize("as_target", [lambda state: state, abstract])
def test_everything_comes_back_to_the_bit(store, as_target):
    state = make_state(3)
    extras = {"best": 0.1 + 0.2, "iterator": {"epoch": 3, "order": [1, 2]}, "name": "né"}
    path = store.save(12, state, extras)
    assert path.name == "step_00000012"
    for restored in (
        store.latest(as_target(make_state(0))),
        store.restore(12, as_target(make_state(0))),
        CheckpointReader("elsewhere").restore(path, as_target(make_state(0))),
    ):
        assert restored.step == 12
        assert restored.extras == extras
        assert_identical(restored.state, state)
    assert isinstance(restored.state["host"]["table"], np.ndarray)
    assert isinstance(restored.state["key"], jax.Array)
    assert store.load_extras(12) == store.load_extras(path) == extras


def test_a_copied_checkpoint_knows_its_step(store, tmp_path):
    save_small(store, 7)
    shutil.copytree(store.folder / "step_00000007", tmp_path / "best")
    assert CheckpointReader(tmp_path).restore(str(tmp_path / "best"), SMALL).step == 7


def test_latest_of_nothing_is_none(store, tmp_path):
    assert store.latest(SMALL) is None
    assert CheckpointReader(tmp_path / "absent").latest(SMALL) is None


def test_keeps_the_newest(store):
    save_small(store, 1, 2, 30, 100_000_000)
    assert store.steps() == [30, 100_000_000]
    assert visible(store) == ["step_00000030", "step_100000000"]


def test_keep_must_be_positive(tmp_path):
    with pytest.raises(CheckpointError, match="keep: expected at least 1 checkpoint, got 0"):
        CheckpointStore(tmp_path, keep=0)


def test_the_one_just_saved_stays_even_below_later_steps(store):
    save_small(store, 10, 20, 5)
    assert store.steps() == [5, 10, 20]
    store.discard_after(5)
    assert store.steps() == [5]
    assert store.latest(SMALL).extras == {"step": 5}


def test_saving_a_step_again_replaces_it(store):
    save_small(store, 1)
    store.save(1, {"x": jnp.zeros(4)}, {"again": True})
    restored = store.latest(SMALL)
    assert restored.extras == {"again": True}
    assert_identical(restored.state, {"x": jnp.zeros(4)})
    assert visible(store) == ["step_00000001"]


def test_absent_checkpoint_lists_what_is_there(store):
    save_small(store, 1, 2)
    with pytest.raises(CheckpointError, match=r"step_00000003, found none; .* has steps: 1, 2"):
        store.restore(3, SMALL)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ({"x": jnp.zeros(5)}, r"x: expected float32\[5\], found float32\[4\]"),
        ({"x": jnp.zeros(4, jnp.int32)}, r"x: expected int32\[4\], found float32\[4\]"),
        ({"x": jax.random.split(jax.random.key(0), 4)}, r"x: expected key<fry>\[4\], found float"),
        ({"y": jnp.zeros(4)}, r"x: expected nothing, found float32\[4\]; y: expected float32\[4\]"),
        ({f"y{i}": jnp.zeros(()) for i in range(9)}, "and 5 more. Build the target from the conf"),
    ],
)
def test_a_target_that_does_not_fit(store, target, fault):
    save_small(store, 1)
    with pytest.raises(CheckpointError, match=f"does not fit the target: .*{fault}"):
        store.restore(1, target)
    with pytest.raises(CheckpointError, match="does not fit the target"):
        store.latest(target)


def test_key_implementations_do_not_mix(store):
    store.save(1, {"key": jax.random.key(0)}, {})
    with pytest.raises(CheckpointError, match=r"key: expected key<rbg>\[\], found key<fry>\[\]"):
        store.restore(1, {"key": jax.random.key(0, impl="rbg")})


def test_64_bits_are_not_silently_halved(store):
    store.save(1, {"x": np.array([2**40])}, {})
    with pytest.raises(CheckpointError, match="x: expected int64, but JAX gave int32; set jax_ena"):
        store.restore(1, {"x": jax.ShapeDtypeStruct((1,), np.dtype(np.int64))})


@pytest.mark.parametrize(
    ("step", "state", "extras", "message"),
    [
        (-1, SMALL, {}, "step: expected 0 or more, got -1"),
        (1, {"a": {"b": 3}}, {}, r"a/b: expected an array, got 3 \(int\); wrap it in jnp.asarray"),
        (1, {"a": {"b": SMALL["x"]}, "a/b": SMALL["x"]}, {}, "a/b: expected one leaf of this path"),
        (1, SMALL, {"x": np.zeros(3)}, "extras: expected values that JSON can hold, got Object of"),
    ],
)
def test_what_cannot_be_saved_leaves_nothing(store, step, state, extras, message):
    with pytest.raises(CheckpointError, match=message):
        store.save(step, state, extras)
    assert visible(store) == []


def test_check_writable_makes_the_folder(tmp_path):
    checkpoint.check_writable(tmp_path / "a" / "b", required_bytes=1)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_check_writable_states_the_numbers(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_500)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    checkpoint.check_writable(tmp_path, required_bytes=1_500)
    with pytest.raises(CheckpointError, match=r"expected 4,000 free .* found 1,500; free 2,500 "):
        checkpoint.check_writable(tmp_path, required_bytes=4_000)


def test_check_writable_names_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"expected a writable folder at .*file/a, got .*Not"):
        checkpoint.check_writable(tmp_path / "file" / "a", required_bytes=1)


def test_check_writable_names_a_read_only_folder(tmp_path, monkeypatch):
    def fail(**_):  # root may write everywhere, so no permission can stand in for this
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(CheckpointError, match=r"writable folder at .* Permission denied; ch"):
        checkpoint.check_writable(tmp_path, required_bytes=1)


def test_state_bytes_counts_every_array():
    state = {
        "a": jax.ShapeDtypeStruct((3, 4), jnp.bfloat16),
        "key": jax.random.key(0),
        "host": np.zeros(2, np.int64),
    }
    assert state_arrays.state_bytes(state) == 24 + 8 + 16


def test_layout_is_readable_without_this_code(store):
    state = {"params": {"w": jnp.ones((2, 3))}, "key": jax.random.key(0)}
    folder = store.save(1, state, {"a": 1})
    assert json.loads((folder / "state.json").read_text()) == {
        "step": 1,
        "leaves": {
            "key": {"shape": [], "dtype": "key<fry>", "key_impl": "threefry2x32"},
            "params/w": {"shape": [2, 3], "dtype": "float32", "key_impl": None},
        },
    }
    assert json.loads((folder / "extras.json").read_text()) == {"a": 1}


def test_a_run_may_be_saved_before_its_first_step(store):
    path = store.save(0, SMALL, {"begun": True})
    assert path.name == "step_00000000"
    assert store.steps() == [0]
    restored = store.latest(SMALL)
    assert (restored.step, restored.extras) == (0, {"begun": True})
    assert_identical(restored.state, SMALL)
    assert store.restore(0, SMALL).step == 0


def test_one_checkpoint_may_be_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    save_small(store, 1, 2, 3)
    assert store.steps() == [3]
    assert visible(store) == ["step_00000003"]


def test_opening_a_store_removes_what_killed_saves_left(store):
    save_small(store, 1, 2)
    for left in (".saving-step_00000003", ".replaced-step_00000002", ".removed-step_00000001"):
        (store.folder / left / "state").mkdir(parents=True)
    (store.folder / "notes.txt").write_text("mine", encoding="utf-8")
    again = CheckpointStore(store.folder, keep=2)
    assert visible(again) == ["notes.txt", "step_00000001", "step_00000002"]
    assert again.restore(2, SMALL).extras == {"step": 2}


def test_opening_a_store_takes_back_what_was_being_replaced(store):
    save_small(store, 1, 2)
    (store.folder / "step_00000002").rename(store.folder / ".replaced-step_00000002")
    again = CheckpointStore(store.folder, keep=2)
    assert visible(again) == ["step_00000001", "step_00000002"]
    assert again.latest(SMALL).extras == {"step": 2}


def test_a_store_makes_its_folder_with_those_above(tmp_path):
    assert CheckpointStore(tmp_path / "a" / "b", keep=1).folder.is_dir()
