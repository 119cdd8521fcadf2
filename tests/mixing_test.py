"""Tests of mixing: shares of the right law, labels by the shares of pixels."""

import numpy as np
import pytest
import tensorflow as tf

from yourface_tfds import augment, labels, mixing

MIXUP = mixing.MixSettings(kind="mixup", alpha=0.4)
CUTMIX = mixing.MixSettings(kind="cutmix", alpha=1.0)


def _images(batch=6, height=20, width=24):
  rng = np.random.default_rng(0)
  return rng.uniform(0, 255, (batch, height, width, 3)).astype(np.float32)


def _flat(batch=6, height=20, width=24):
  """Images of one value each, which tells whose a pixel is."""
  values = np.arange(batch, dtype=np.float32)[:, None, None, None]
  return np.broadcast_to(values, (batch, height, width, 3)).copy()


def _targets(batch=6):
  """Weights and unknown labels as the losses make them."""
  rng = np.random.default_rng(1)
  targets = {}
  for head, vocabulary in labels.HEADS.items():
    classes = len(vocabulary.names)
    weights = rng.uniform(0.5, 2, (batch, 1))
    rows = np.eye(classes)[rng.integers(classes, size=batch)] * weights
    targets[head] = rows.astype(np.float32)
  targets["gender"][2] = 0
  return targets


def _mix(images, targets, settings, seed=3, step=5):
  images, targets = mixing.mix(
    images, targets, seed=seed, step=step, settings=settings
  )
  return images.numpy(), {head: row.numpy() for head, row in targets.items()}


def _numbers(count, seed=0):
  rows = np.arange(count, dtype=np.int64)[:, None]
  numbers = augment.uniform(seed, rows, 2, bits=52)
  return numbers[:, 0], numbers[:, 1]


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 2.5, 8.0])
def test_shares_are_of_the_beta_distribution(alpha):
  count = 50_000
  first, second = _numbers(count)
  shares = np.sort(mixing.beta(first, second, alpha).numpy())
  parameter = tf.constant(alpha, tf.float64)
  expected = tf.math.betainc(parameter, parameter, shares).numpy()
  distance = np.abs(expected - (np.arange(count) + 0.5) / count).max()
  # Kolmogorov and Smirnov's: passed by all but one of a million true samples.
  assert distance < 2.7 / np.sqrt(count)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 1e3, 1e6])
def test_extreme_shares_are_numbers(alpha):
  first, second = _numbers(10_000)
  shares = mixing.beta(first, second, alpha).numpy()
  assert shares.min() >= 0
  assert shares.max() <= 1
  assert shares.mean() == pytest.approx(0.5, abs=0.02)
  variance = 1 / (4 * (2 * alpha + 1))
  assert shares.var() == pytest.approx(variance, rel=0.05)


def test_the_smallest_numbers_are_numbers():
  edges = tf.constant([0, 0.25, 0.5, 0.75, 1 - 2**-52], tf.float64)
  first, second = (tf.reshape(x, [-1]) for x in tf.meshgrid(edges, edges))
  for alpha in (0.2, 1.0, 5.0):
    shares = mixing.beta(first, second, alpha).numpy()
    assert np.isfinite(shares).all()
    assert ((shares >= 0) & (shares <= 1)).all()


def test_mixup_blends_with_the_one_before():
  images, targets = _images(), _targets()
  mixed, mixed_targets = _mix(images, targets, MIXUP)
  others = np.roll(images, 1, axis=0)
  shares = ((mixed - others) / (images - others)).mean(axis=(1, 2, 3))
  assert len(set(shares.round(3))) == 6
  expected = images * shares[:, None, None, None]
  expected += others * (1 - shares[:, None, None, None])
  np.testing.assert_allclose(mixed, expected, atol=0.05)
  for head, rows in targets.items():
    np.testing.assert_allclose(
      mixed_targets[head],
      rows * shares[:, None] + np.roll(rows, 1, axis=0) * (1 - shares[:, None]),
      atol=1e-3,
    )


def test_cutmix_shares_are_those_of_the_pixels():
  """The box cut off at the border counts, in every head alike."""
  batch = 64
  targets = _targets(batch)
  mixed, mixed_targets = _mix(_flat(batch), targets, CUTMIX)
  own = np.arange(batch)[:, None, None]
  is_own = mixed[..., 0] == own
  assert (is_own | (mixed[..., 0] == np.roll(own, 1, axis=0))).all()
  shares = is_own.mean(axis=(1, 2))
  assert shares.min() < 0.4
  assert shares.max() > 0.9
  for head, rows in targets.items():
    np.testing.assert_allclose(
      mixed_targets[head],
      rows * shares[:, None] + np.roll(rows, 1, axis=0) * (1 - shares[:, None]),
      atol=1e-5,
    )


def test_cutmix_takes_one_box():
  mixed, _ = _mix(_flat(32), _targets(32), CUTMIX)
  seen = 0
  for row, image in enumerate(mixed[..., 0]):
    y, x = np.nonzero(image != row)
    seen += len(y) > 0
    if len(y):
      box = image[y.min() : y.max() + 1, x.min() : x.max() + 1]
      assert len(y) == box.size
  assert seen > 20


@pytest.mark.parametrize(
  ("share", "x", "y", "box", "left"),
  [
    # sqrt(1 - .75) = half of both sides, about the centre.
    (0.75, 0.5, 0.5, (5, 15, 6, 18), 0.75),
    # Three quarters stand out at the corner.
    (0.75, 0.0, 0.0, (0, 5, 0, 6), 1 - 30 / 480),
    (1.0, 0.5, 0.5, (0, 0, 0, 0), 1.0),
    (0.0, 0.5, 0.5, (0, 20, 0, 24), 0.0),
  ],
)
def test_boxes(share, x, y, box, left):
  share, x, y = (tf.constant([value], tf.float64) for value in (share, x, y))
  boxes, shares = mixing.boxes(share, x, y, 20, 24)
  top, bottom, first, last = box
  expected = np.zeros((1, 20, 24), bool)
  expected[0, top:bottom, first:last] = True
  np.testing.assert_array_equal(boxes, expected)
  assert float(shares[0]) == pytest.approx(left, abs=1e-12)


@pytest.mark.parametrize("settings", [MIXUP, CUTMIX])
def test_weights_are_kept_and_unknown_counts_for_nothing(settings):
  targets = _targets()
  _, mixed = _mix(_images(), targets, settings)
  for head in ("job", "face_type"):
    weights = targets[head].sum(axis=1)
    low = np.minimum(weights, np.roll(weights, 1)) - 1e-5
    high = np.maximum(weights, np.roll(weights, 1)) + 1e-5
    sums = mixed[head].sum(axis=1)
    assert ((low <= sums) & (sums <= high)).all()
  # Row 2 is unknown: of row 3 only its own share is left, and no other class.
  known = targets["gender"][3] > 0
  assert mixed["gender"][3][~known].sum() == 0
  assert mixed["gender"][3].sum() <= targets["gender"][3].sum()
  targets["gender"][:] = 0
  assert not _mix(_images(), targets, settings)[1]["gender"].any()


@pytest.mark.parametrize("settings", [MIXUP, CUTMIX])
def test_depends_on_seed_and_step_alone(settings):
  images, targets = _images(), _targets()
  first = _mix(images, targets, settings)[0]
  np.testing.assert_array_equal(first, _mix(images, targets, settings)[0])
  for other in ({"seed": 4}, {"step": 6}):
    mixed = _mix(images, targets, settings, **other)[0]
    assert np.abs(first - mixed).mean() > 1


@pytest.mark.parametrize("settings", [MIXUP, CUTMIX])
def test_eager_function_compiled_and_tf_data_agree(settings):
  images, targets = _images(), _targets()

  def step(images, targets, step):
    return mixing.mix(images, targets, seed=3, step=step, settings=settings)

  expected, expected_targets = _mix(images, targets, settings)
  arguments = (images, targets, tf.constant(5, tf.int64))
  dataset = tf.data.Dataset.from_tensors(arguments).map(step)
  for mixed, mixed_targets in (
    tf.function(step)(*arguments),
    tf.function(step, jit_compile=True)(*arguments),
    next(iter(dataset)),
  ):
    np.testing.assert_allclose(mixed, expected, atol=1e-3)
    assert mixed.dtype == tf.float32
    for head, rows in expected_targets.items():
      np.testing.assert_allclose(mixed_targets[head], rows, atol=1e-6)
      assert mixed_targets[head].dtype == tf.float32


def test_unknown_batch_size():
  step = tf.function(
    lambda images: mixing.mix(
      images,
      {"job": tf.ones([tf.shape(images)[0], 2])},
      seed=0,
      step=0,
      settings=CUTMIX,
    ),
    input_signature=[tf.TensorSpec([None, 20, 24, 3], tf.float32)],
  )
  for batch in (1, 5):
    mixed, targets = step(_images(batch))
    assert mixed.shape == (batch, 20, 24, 3)
    np.testing.assert_allclose(targets["job"], np.ones((batch, 2)), atol=1e-6)


def test_none_changes_nothing():
  images, targets = _images(), _targets()
  mixed, mixed_targets = mixing.mix(
    images, targets, seed=0, step=0, settings=mixing.MixSettings()
  )
  assert mixed is images
  assert mixed_targets == targets


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"kind": "cut"}, "kind: got 'cut', allowed: none, mixup, cutmix"),
    ({"alpha": 0}, "alpha: got 0, allowed: above 0"),
    ({"alpha": float("nan")}, "alpha: got nan, allowed: above 0"),
    ({"alpha": float("inf")}, "alpha: got inf, allowed: above 0"),
  ],
)
def test_refuses_settings(settings, message):
  with pytest.raises(ValueError) as error:
    mixing.MixSettings(**settings)
  assert str(error.value) == message
