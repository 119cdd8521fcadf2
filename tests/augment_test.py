"""Tests of augment: what is drawn, where pixels go, what stays in range."""

import dataclasses
import json
import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import augment, warp

MASK = 2**64 - 1


def _noise(batch=8, height=20, width=24, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (batch, height, width, 3), np.uint8)


def _keys(batch, epoch=0, first=0):
  rows = np.arange(first, first + batch, dtype=np.int64)
  return np.stack([np.full_like(rows, epoch), rows], axis=1)


def _only(**settings):
  return augment.AugmentSettings(**settings)


def _changed(images, settings, seed=0, epoch=0):
  layer = augment.Augment(settings, seed)
  return layer(images, _keys(len(images), epoch), training=True).numpy()


def _reference(seed, keys, count, bits):
  """The numbers in Python's integers."""

  def mixed(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)

  step = 0x9E3779B97F4A7C15
  rows = []
  for row in keys.tolist():
    state = mixed(seed + step & MASK)
    for key in row:
      state = mixed((state ^ (key & MASK)) + step & MASK)
    rows.append(
      [
        (mixed(state + i * step & MASK) >> (64 - bits)) / 2**bits
        for i in range(1, count + 1)
      ]
    )
  return np.array(rows)


# ---------------------------------------------------------------- the numbers


def test_splitmix64_by_its_known_outputs():
  # The first of splitmix64.c from state 1234567, as other libraries print it.
  state = tf.constant([1234567], tf.uint64)
  outputs = []
  for _ in range(3):
    state = state + tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    outputs.append(int(augment._mixed(state)[0]))
  assert outputs == [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
  ]


@pytest.mark.parametrize("bits", [24, 52])
@pytest.mark.parametrize("compiled", [None, False, True])
def test_numbers_are_the_reference_bit_for_bit(bits, compiled):
  keys = np.array(
    [[0, 0], [0, 1], [1, 0], [2**40, 7], [3, 2**62], [-1, 5]], np.int64
  )

  def numbers(keys):
    return augment.uniform(2**63 - 1, keys, 20, bits=bits)

  if compiled is not None:
    numbers = tf.function(numbers, jit_compile=compiled)
  expected = _reference(2**63 - 1, keys, 20, bits)
  got = numbers(tf.constant(keys)).numpy()
  assert got.dtype == (np.float32 if bits == 24 else np.float64)
  np.testing.assert_array_equal(got, expected)


def test_numbers_in_tf_data_are_the_same():
  dataset = tf.data.Dataset.from_tensors(_keys(9)).map(
    lambda keys: augment.uniform(4, keys, 9)
  )
  expected = _reference(4, _keys(9), 9, 24)
  np.testing.assert_array_equal(next(iter(dataset)), expected)


def test_numbers_are_uniform_and_independent():
  count, draws = 50_000, 9
  first = augment.uniform(0, _keys(count), draws).numpy().astype(np.float64)
  others = {
    "epoch": augment.uniform(0, _keys(count, epoch=1), draws).numpy(),
    "seed": augment.uniform(1, _keys(count), draws).numpy(),
    "neighbour": np.roll(first, 1, axis=0),
    "swapped": augment.uniform(0, _keys(count)[:, ::-1], draws).numpy(),
  }
  # Five standard deviations of each figure.
  np.testing.assert_allclose(
    first.mean(axis=0), 0.5, atol=5 / math.sqrt(12 * count)
  )
  np.testing.assert_allclose(
    first.var(axis=0), 1 / 12, atol=5 * math.sqrt(1 / 180 / count)
  )
  bins = np.histogram(first, 64, (0, 1))[0]
  expected = count * draws / 64
  chi_squared = ((bins - expected) ** 2 / expected).sum()
  assert abs(chi_squared - 63) < 5 * math.sqrt(2 * 63)
  limit = 5 / math.sqrt(count)
  between = np.corrcoef(first.T) - np.eye(draws)
  assert np.abs(between).max() < limit
  for name, other in others.items():
    both = np.corrcoef(first.T, other.T)[:draws, draws:]
    assert np.abs(both).max() < limit, name


# --------------------------------------------------------------- reproducible


@pytest.mark.parametrize("preset", ["default", "2021"])
def test_an_example_has_its_change_in_any_batch(preset):
  images, keys = _noise(12), _keys(12, epoch=3)
  layer = augment.Augment(augment.PRESETS[preset], 5)
  together = layer(images, keys, training=True).numpy()
  for order in ([7], [3, 2, 1, 0], [11, 5, 6, 0, 1]):
    some = layer(images[order], keys[order], training=True)
    np.testing.assert_allclose(some, together[order], atol=1e-3)


def test_epochs_examples_and_seeds_differ():
  images = np.repeat(_noise(1), 8, axis=0)
  settings = augment.PRESETS["default"]
  first = _changed(images, settings)
  for i in range(8):
    for j in range(i):
      assert np.abs(first[i] - first[j]).mean() > 1
  for other in (
    _changed(images, settings, epoch=1),
    _changed(images, settings, seed=1),
  ):
    assert np.abs(first - other).mean(axis=(1, 2, 3)).min() > 1


@pytest.mark.parametrize("preset", augment.PRESETS)
def test_eager_function_compiled_and_tf_data_agree(preset):
  images, keys = _noise(), _keys(8)
  layer = augment.Augment(augment.PRESETS[preset], 1)

  def step(images, keys):
    return layer(images, keys, training=True)

  eager = step(images, keys).numpy()
  assert eager.dtype == np.float32
  function = tf.function(step)(images, keys)
  compiled = tf.function(step, jit_compile=True)(images, keys)
  dataset = tf.data.Dataset.from_tensors((images, keys)).map(step)
  assert dataset.element_spec == tf.TensorSpec(images.shape, tf.float32)
  for other in (function, compiled, next(iter(dataset))):
    # A compiler may fuse and order float operations in another way.
    np.testing.assert_allclose(eager, other, atol=0.01)


def test_unknown_batch_size_keeps_the_shape():
  layer = augment.Augment(augment.PRESETS["default"], 0)
  step = tf.function(
    lambda images, keys: layer(images, keys, training=True),
    input_signature=[
      tf.TensorSpec([None, 20, 24, 3], tf.uint8),
      tf.TensorSpec([None, 2], tf.int64),
    ],
  )
  concrete = step.get_concrete_function()
  assert concrete.structured_outputs.shape.as_list() == [None, 20, 24, 3]
  for batch in (3, 7):
    np.testing.assert_allclose(
      step(_noise(batch), _keys(batch)),
      _changed(_noise(batch), layer.settings),
      atol=0.01,
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_loses_no_pixels(policy):
  images = _noise()
  settings = augment.PRESETS["default"]
  expected = _changed(images, settings)
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    layer = augment.Augment(settings, 0)
    changed = layer(images, _keys(8), training=True)
    same = layer(images, _keys(8))
  finally:
    keras.config.set_dtype_policy(before)
  assert changed.dtype == same.dtype == tf.float32
  np.testing.assert_array_equal(changed, expected)
  np.testing.assert_array_equal(same, images)


def test_uint8_and_float_agree():
  images = _noise()
  settings = augment.PRESETS["default"]
  np.testing.assert_array_equal(
    _changed(images, settings), _changed(images.astype(np.float32), settings)
  )


# ------------------------------------------------------------------ the layer


def test_not_training_is_a_cast_alone():
  layer = augment.Augment(augment.PRESETS["default"], 0)
  images = _noise()
  same = layer(images, _keys(8))
  assert same.dtype == tf.float32
  np.testing.assert_array_equal(same, images)
  graph = tf.function(lambda i, k: layer(i, k, training=False))
  concrete = graph.get_concrete_function(images, _keys(8))
  kinds = {op.type for op in concrete.graph.get_operations()}
  assert "Cast" in kinds
  assert kinds <= {"Cast", "Const", "Identity", "NoOp", "Placeholder"}


def test_none_and_all_zeros_are_the_identity():
  images = _noise()
  for settings in (augment.PRESETS["none"], augment.AugmentSettings()):
    changed = _changed(images, settings)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed, images)


def test_it_has_no_state():
  layer = augment.Augment(augment.PRESETS["default"], 0)
  first = layer(_noise(), _keys(8), training=True)
  assert layer.variables == []
  np.testing.assert_array_equal(first, layer(_noise(), _keys(8), training=True))


def test_the_config_makes_the_same_layer():
  layer = augment.Augment(augment.PRESETS["2021"], 9, name="changes")
  config = json.loads(json.dumps(keras.layers.serialize(layer)))
  copy = keras.layers.deserialize(config)
  assert isinstance(copy, augment.Augment)
  assert (copy.settings, copy.seed, copy.name) == (
    augment.PRESETS["2021"],
    9,
    "changes",
  )
  np.testing.assert_array_equal(
    layer(_noise(), _keys(8), training=True),
    copy(_noise(), _keys(8), training=True),
  )


def test_a_functional_model_may_hold_it():
  images = keras.Input([20, 24, 3], dtype="uint8")
  keys = keras.Input([2], dtype="int64")
  layer = augment.Augment(augment.PRESETS["default"], 0)
  model = keras.Model([images, keys], layer(images, keys))
  assert model.output.shape == (None, 20, 24, 3)
  assert model.output.dtype == "float32"
  batch = [_noise(), _keys(8)]
  np.testing.assert_array_equal(model(batch, training=False), batch[0])
  np.testing.assert_allclose(
    model(batch, training=True), _changed(batch[0], layer.settings), atol=0.01
  )


@pytest.mark.parametrize(
  ("field", "value", "allowed"),
  [
    ("shift", -0.1, "0 to 1"),
    ("shift", 1.1, "0 to 1"),
    ("rotation", 181, "0 to 180"),
    ("zoom", 1, "0 to below 1"),
    ("brightness", math.nan, "0 to 1"),
    ("contrast", 1.5, "0 to 1"),
  ],
)
def test_refuses_settings(field, value, allowed):
  with pytest.raises(ValueError) as error:
    augment.AugmentSettings(**{field: value})
  assert str(error.value) == f"{field}: got {value}, allowed: {allowed}"


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_refuses_seeds(seed):
  with pytest.raises(ValueError) as error:
    augment.Augment(augment.PRESETS["none"], seed)
  assert str(error.value) == f"seed: got {seed}, allowed: 0 to 2**63 - 1"


def test_settings_are_frozen_and_by_keyword():
  with pytest.raises(dataclasses.FrozenInstanceError):
    augment.PRESETS["none"].shift = 1  # pyright: ignore
  with pytest.raises(TypeError):
    augment.AugmentSettings(True)  # pyright: ignore


# --------------------------------------------------------------------- warps


def _warp(images, draws, settings):
  """Warps with chosen draws: flip x, flip y, angle, shift x, y, zoom x, y."""
  random = tf.constant([draws], tf.float32)
  height, width = images.shape[1:3]
  matrices = augment.affine_matrices(random, height, width, settings)
  return warp.warp(images, matrices).numpy()


def _dot(y, x, size=21):
  image = np.zeros((1, size, size, 3), np.uint8)
  image[0, y, x] = 255
  return image


def _brightest(images):
  """Returns (y, x) of the centre of mass of the only image."""
  weights = images[0, ..., 0] / images[0, ..., 0].sum()
  y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
  return float((y * weights).sum()), float((x * weights).sum())


@pytest.mark.parametrize(
  ("field", "axis"), [("flip_horizontally", 2), ("flip_vertically", 1)]
)
def test_flip_mirrors_about_half_of_the_images(field, axis):
  images = _noise(64)
  changed = _changed(images, _only(**{field: True}))
  mirrored = np.flip(images, axis)
  flipped = 0
  for before, mirror, after in zip(images, mirrored, changed, strict=True):
    is_flipped = np.array_equal(after, mirror)
    assert is_flipped or np.array_equal(after, before)
    flipped += is_flipped
  assert 20 <= flipped <= 44


def test_shift_moves_by_that_part_of_the_side():
  settings = _only(shift=0.2)
  # The matrix leads from output to input: +1 looks right, so the dot goes left.
  images = np.zeros((1, 20, 30, 3), np.uint8)
  images[0, 10, 15] = 255
  for x, y, expected in (
    (1, 0, (10, 9)),
    (-1, 0, (10, 21)),
    (0, 0.5, (8, 15)),
  ):
    moved = _warp(images, [0, 0, 0, x, y, 0, 0], settings)
    assert _brightest(moved) == pytest.approx(expected, abs=1e-4)


def test_rotation_turns_about_the_centre():
  settings = _only(rotation=90)
  # Output (x, y) is input (-y, x) about the centre: the right comes to the top.
  turned = _warp(_dot(10, 16), [0, 0, 1, 0, 0, 0, 0], settings)
  assert _brightest(turned) == pytest.approx((4, 10), abs=1e-3)
  turned = _warp(_dot(10, 10), [0, 0, 1, 0, 0, 0, 0], settings)
  assert _brightest(turned) == pytest.approx((10, 10), abs=1e-3)


def test_rotation_by_its_degrees():
  # A blob, so that its centre of mass survives the resampling.
  images = np.zeros((1, 41, 41, 3), np.uint8)
  images[0, 19:22, 31:34] = 255
  angle = math.radians(8)
  turned = _warp(images, [0, 0, 0.5, 0, 0, 0, 0], _only(rotation=16))
  y, x = _brightest(turned)
  assert x - 20 == pytest.approx(12 * math.cos(angle), abs=0.1)
  assert y - 20 == pytest.approx(-12 * math.sin(angle), abs=0.1)


@pytest.mark.parametrize(
  ("stretch", "zoom_x", "zoom_y", "expected"),
  [
    (False, 1, -1, (4, 4)),
    (False, -1, 0, (12, 12)),
    (True, 1, -1, (12, 4)),
    (True, -1, 1, (4, 12)),
  ],
)
def test_zoom_scales_about_the_centre(stretch, zoom_x, zoom_y, expected):
  images = np.zeros((1, 41, 41, 3), np.uint8)
  images[0, 24:29, 24:29] = 255  # 6 below and right of the centre.
  settings = _only(zoom=0.5, stretch=stretch)
  zoomed = _warp(images, [0, 0, 0, 0, 0, zoom_x, zoom_y], settings)
  y, x = _brightest(zoomed)
  assert (y - 20, x - 20) == pytest.approx(expected, abs=0.3)


def test_the_2021_preset_is_what_image_data_generator_does():
  """Same parameters, same pixels: order of the changes, centre and signs."""
  pytest.importorskip("scipy", reason="ImageDataGenerator warps by SciPy")
  settings = augment.PRESETS["2021"]
  image = _noise(1, 32, 32)
  generator = tf.keras.preprocessing.image.ImageDataGenerator()
  rng = np.random.default_rng(0)
  for _ in range(8):
    draws = rng.uniform(-1, 1, 7)
    # Its tx is of height_shift_range, yet it moves along x.
    parameters = {
      "theta": draws[2] * 5,
      "tx": draws[3] * 0.1 * 32,
      "ty": draws[4] * 0.1 * 32,
      "zx": 1 + 0.2 * draws[5],
      "zy": 1 + 0.2 * draws[6],
      "flip_vertical": draws[1] > 0,
    }
    with warnings.catch_warnings():
      # It calls SciPy by a name that SciPy no longer likes.
      warnings.simplefilter("ignore", DeprecationWarning)
      expected = generator.apply_transform(
        image[0].astype(np.float32), parameters
      )
    np.testing.assert_allclose(
      _warp(image, draws, settings)[0], expected, atol=0.05
    )


def test_what_the_layer_draws_fills_the_range():
  settings = augment.PRESETS["2021"]
  layer = augment.Augment(settings, 0)
  rows = layer.matrices(_keys(2000), 100, 100).numpy().astype(np.float64)
  linear = rows[:, :6].reshape(-1, 2, 3)[:, :, :2]
  scales = np.linalg.norm(linear, axis=1)
  assert scales.min() == pytest.approx(0.8, abs=0.002)
  assert scales.max() == pytest.approx(1.2, abs=0.002)
  # Independent in x and y, as ImageDataGenerator's are.
  assert abs(np.corrcoef(scales.T)[0, 1]) < 0.1
  angles = np.degrees(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
  assert angles.min() == pytest.approx(-5, abs=0.05)
  assert angles.max() == pytest.approx(5, abs=0.05)
  assert np.mean(np.linalg.det(linear) < 0) == pytest.approx(0.5, abs=0.05)
  centre = rows[:, [2, 5]] + linear.sum(axis=2) * 49.5 - 49.5
  reach = 10 * (math.cos(math.radians(5)) + math.sin(math.radians(5)))
  assert 9.9 < np.abs(centre).max() <= reach + 1e-3


def test_edges_are_repeated():
  images = np.full((16, 20, 20, 3), 200, np.uint8)
  settings = _only(flip_vertically=True, shift=0.5, rotation=45, zoom=0.5)
  np.testing.assert_array_equal(_changed(images, settings), images)


# ------------------------------------------------------------------- colours


@pytest.mark.parametrize("field", ["brightness", "contrast"])
def test_stays_in_range(field):
  changed = _changed(_noise(32), _only(**{field: 1.0}))
  assert changed.dtype == np.float32
  assert changed.min() >= 0
  assert changed.max() <= 255
  assert changed.max() > 200


def test_brightness_adds_the_same_everywhere():
  images = np.full((64, 8, 8, 3), 128, np.uint8)
  changed = _changed(images, _only(brightness=0.1))
  offsets = changed[:, 0, 0, 0] - 128
  np.testing.assert_allclose(
    changed - 128,
    np.broadcast_to(offsets[:, None, None, None], changed.shape),
    atol=1e-3,
  )
  assert np.abs(offsets).max() <= 25.5 + 1e-3
  assert offsets.min() < -20
  assert offsets.max() > 20


def test_contrast_keeps_the_mean():
  images = np.clip(_noise(64), 100, 156)
  changed = _changed(images, _only(contrast=0.2))
  axes = (1, 2, 3)
  np.testing.assert_allclose(
    changed.mean(axis=axes), images.mean(axis=axes), atol=1e-2
  )
  factors = changed.std(axis=axes) / images.std(axis=axes)
  assert factors.min() == pytest.approx(0.8, abs=0.03)
  assert factors.max() == pytest.approx(1.2, abs=0.03)


def test_colours_come_after_the_warp():
  """Of one layer with both, and of two layers one after the other."""
  images = _noise()
  both = augment.PRESETS["default"]
  moved = _changed(images, dataclasses.replace(both, brightness=0, contrast=0))
  colours = _only(brightness=both.brightness, contrast=both.contrast)
  np.testing.assert_allclose(
    _changed(images, both), _changed(moved, colours), atol=0.01
  )
