"""What the tests share: a tiny real dataset, and when slow tests run."""

import io
import os
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from etils import epath

from builders.your_face import your_face_dataset_builder
from yourface_tfds import labels

SIZE = 32
_DETECTION = ("box", "landmarks", "score", "faces")


def pytest_collection_modifyitems(items):
  _slow_files_first(items)
  if os.environ.get("YOURFACE_SLOW") != "1":
    skip = pytest.mark.skip(reason="takes minutes; on with YOURFACE_SLOW=1")
    for item in items:
      if "slow" in item.keywords:
        item.add_marker(skip)


def _slow_files_first(items):
  """Where time may run out, real kills come first and quick tests last."""
  slow = {item.path for item in items if "slow" in item.keywords}
  items.sort(
    key=lambda item: (
      not item.path.stem.endswith("kills_test"),
      item.path not in slow,
    )
  )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
  # On a machine half as fast CI still ends in its time, and says what it left.
  until = float(os.environ.get("YOURFACE_SLOW_UNTIL", "inf"))
  if "slow" in item.keywords and time.time() > until:
    pytest.skip("the time for slow tests is over: YOURFACE_SLOW_UNTIL")


class _Written(your_face_dataset_builder.Builder, skip_registration=True):
  """The real builder with examples that were not cropped from photos."""

  name = "your_face"
  pkg_dir_path = epath.Path(your_face_dataset_builder.__file__).parent
  examples = {}  # noqa: RUF012

  def _generate_splits(self, dl_manager, download_config):
    return tfds.core.GeneratorBasedBuilder._generate_splits(
      self, dl_manager, download_config
    )

  def _split_generators(self, dl_manager):
    return {
      split: self._encoded(examples)
      for split, examples in self.examples.items()
    }

  def _encoded(self, examples):
    keys = ("image", *labels.HEADS, "person", "photo", *_DETECTION)
    for example in examples:
      if self._config.settings.encoding == "jpeg":
        example = example | {"image": io.BytesIO(example["jpeg"])}
      yield example["photo"], {key: example[key] for key in keys}


def _tiny_example(rng, number, gender, job, face_type, person):
  """A face whose colour, stripes and brightness tell its labels."""
  image = np.full((SIZE, SIZE, 3), (40, 40, 40), np.int64)
  image[..., 2 if gender else 0] += 120
  stripes = np.arange(SIZE) // 4 % 2 * 60
  image += (stripes[:, None] if job else stripes[None, :])[..., None]
  image[..., 1] += 55 * face_type
  image += rng.integers(-10, 11, image.shape)
  image = np.clip(image, 0, 255).astype(np.uint8)
  jpeg = io.BytesIO()
  PIL.Image.fromarray(image).save(jpeg, "JPEG", quality=95)
  return {
    "image": image,
    "jpeg": jpeg.getvalue(),
    # Unknown now and then, each head in other photos.
    "gender": -1 if number % 7 == 3 else gender,
    "job": -1 if number % 7 == 5 else job,
    "face_type": -1 if number % 7 == 6 else face_type,
    "person": person,
    "photo": f"{person}/{number:03}.jpg",
    "box": np.array([0.25, 0.25, 0.75, 0.75], np.float32),
    "landmarks": np.full((5, 2), 0.5, np.float32),
    "score": np.float32(0.99),
    "faces": 1,
  }


@pytest.fixture(scope="session")
def write_dataset():
  """Returns a function that writes examples as the real builder would.

  write_dataset(data_dir, {"train": [...]}, encoding) returns the config's name.
  """

  def write(data_dir, examples, encoding="raw"):
    config = your_face_dataset_builder.YourFaceConfig(
      encoding=encoding, image_size=SIZE
    )
    builder = _Written(data_dir=data_dir, config=config)
    builder.examples = examples
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    return config.name

  return write


@pytest.fixture(scope="session")
def tiny_examples():
  """Split -> examples, with `jpeg`: 10 people, two of them only in unseen."""
  rng = np.random.default_rng(0)
  people = [f"사람{i}" for i in range(10)]
  counts = {"train": 60, "validation": 12, "test": 12, "unseen": 10}
  examples, number = {}, 0
  for split, count in counts.items():
    examples[split] = []
    for i in range(count):
      who = 8 + i % 2 if split == "unseen" else i % 8
      examples[split].append(
        _tiny_example(
          rng, number, who % 2, who // 2 % 2, who // 4 % 2, people[who]
        )
      )
      number += 1
  return examples


@pytest.fixture(scope="session")
def tiny_data_dir(tmp_path_factory, write_dataset, tiny_examples):
  """A data_dir with configs jpeg-image_size_32 and raw-image_size_32."""
  data_dir = tmp_path_factory.mktemp("tiny_data")
  for encoding in ("jpeg", "raw"):
    write_dataset(data_dir, tiny_examples, encoding)
  return data_dir
