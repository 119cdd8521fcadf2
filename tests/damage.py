"""A built dataset whose shards can be damaged, and what is read of it."""

import os
import shutil

import numpy as np

from yourface_tfds import built_dataset, input_pipeline, tfrecord

ENCODINGS = ("raw", "jpeg")


def config(encoding):
  return f"{encoding}-image_size_32"


def rows(batches):
  """Returns photo -> pixels and labels."""
  found = {}
  for batch in batches:
    columns = {name: value.numpy() for name, value in batch.items()}
    for i, photo in enumerate(columns["photo"].tolist()):
      labels = tuple(int(columns[h][i]) for h in ("gender", "job", "face_type"))
      person = columns["person"][i]
      assert photo not in found
      found[photo] = (columns["image"][i].tobytes(), labels, person)
  return found


def read(dataset, path="fast", split="train"):
  with input_pipeline.plain_errors(dataset, split):
    batches = input_pipeline.make_for_eval(
      dataset, split, batch_size=7, path=path
    )
    found = rows(batches)
  dataset.check_unchanged()
  return found


def places(content):
  """Returns offset and payload length of each record."""
  data = np.frombuffer(content, np.uint8)
  return list(tfrecord.records("", data))


class Copy:
  """A dataset of its own, which can be damaged and mended again."""

  def __init__(self, data_dir, folder, encoding):
    self.data_dir = folder
    self.config = config(encoding)
    source = data_dir / "your_face" / self.config / "1.0.0"
    self.folder = folder / "your_face" / self.config / "1.0.0"
    shutil.copytree(source, self.folder)
    shutil.rmtree(self.folder / ".index", ignore_errors=True)
    self.shards = sorted(self.folder.glob("*-train.tfrecord-*"))
    self.kept = {path: path.read_bytes() for path in self.shards}
    self.times = {path: path.stat().st_mtime_ns for path in self.shards}
    self.whole = read(self.open())  # And the index is made.

  def open(self):
    return built_dataset.open_dataset(self.data_dir, self.config)

  def damage(self, path, content, *, is_rot=False):
    """Writes it in place; rot leaves the time as it was."""
    with path.open("r+b") as file:
      file.write(content)
      file.truncate()
    if is_rot:
      os.utime(path, ns=(self.times[path], self.times[path]))

  def mend(self):
    for path, content in self.kept.items():
      self.damage(path, content, is_rot=True)


def epoch(dataset, epoch):
  """Returns the faces of an epoch as training reads them."""
  with input_pipeline.plain_errors(dataset, "train"):
    batches = input_pipeline.make_for_train(
      dataset,
      batch_size=7,
      seed=3,
      epoch=epoch,
      settings=input_pipeline.ReadSettings(verify="always"),
    )
    return [
      image.tobytes() for batch in batches for image in batch["image"].numpy()
    ]
