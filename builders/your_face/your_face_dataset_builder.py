"""Builder of your_face: faces cropped from web photos, three labels each.

Thin over `yourface_tfds.prepare`, which does the work.
"""

import atexit
import dataclasses
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds

from yourface_tfds import (
  build_settings,
  cli,
  curate,
  labels,
  prepare,
  shards,
)

cli.one_line_errors_under("tfds")
_closing_words: list[str] = []


class YourFaceConfig(tfds.core.BuilderConfig):
  """A config of the dataset; `--config='{...}'` makes one of its own.

  Attributes:
    settings: every option of the build.
  """

  def __init__(
    self, name: str = "", description: str | None = None, **options: Any
  ) -> None:
    self.settings = build_settings.BuildSettings.from_options(options)
    if not name:
      name = self.settings.config_name()
      if name in build_settings.ENCODINGS:
        raise cli.UserError(
          f"--config: these are the options of the config {name}; use "
          f"--config={name}"
        )
    super().__init__(name=name, description=description)


class Builder(tfds.core.GeneratorBasedBuilder):
  """Builds your_face from `<manual_dir>/people.csv` and `photos/`."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS's way)
  builder_config_cls = YourFaceConfig
  BUILDER_CONFIGS = [  # noqa: RUF012
    YourFaceConfig(
      "jpeg", "150x150 crops as JPEG of quality 95.", encoding="jpeg"
    ),
    YourFaceConfig("raw", "150x150 crops as plain uint8.", encoding="raw"),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "Give --manual_dir=M, a folder with M/people.csv (columns person, gender, "
    "job, face_type) and M/photos/<person>/ with that person's photos."
  )

  # One `tfds build` without --config builds every config in one process; the
  # photos are the same, so they are looked at once.
  _prepared: tuple[object, prepare.Prepared] | None = None

  @property
  def _config(self) -> YourFaceConfig:
    # TFDS types it as optional; with BUILDER_CONFIGS there always is one.
    return cast(YourFaceConfig, self.builder_config)

  def _info(self) -> tfds.core.DatasetInfo:
    settings = self._config.settings
    shape = (settings.image_size, settings.image_size, 3)
    image = (
      tfds.features.Image(shape=shape, encoding_format="jpeg")
      if settings.encoding == "jpeg"
      else tfds.features.Tensor(
        shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
      )
    )
    heads = {
      head: tfds.features.ClassLabel(names=list(vocabulary.names))
      for head, vocabulary in labels.HEADS.items()
    }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          "image": image,
          **heads,
          "person": tfds.features.Text(doc="Folder name, NFC."),
          "photo": tfds.features.Text(doc="Path relative to photos/."),
          "box": tfds.features.Tensor(
            shape=(4,),
            dtype=np.float32,
            doc="y_min, x_min, y_max, x_max, 0..1 of the upright photo.",
          ),
          "landmarks": tfds.features.Tensor(
            shape=(5, 2),
            dtype=np.float32,
            doc="y, x of eyes, nose, mouth corners, 0..1 of the photo.",
          ),
          "score": tfds.features.Scalar(dtype=np.float32),
          "faces": tfds.features.Scalar(dtype=np.int64),
        }
      ),
      supervised_keys=("image", {head: head for head in heads}),
      # The exported model must cut faces out the way this build did.
      metadata=tfds.core.MetadataDict(dataclasses.asdict(settings)),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    settings = self._config.settings
    try:
      manual_dir = dl_manager.manual_dir
    except AssertionError as error:
      raise cli.UserError(
        f"--manual_dir: missing or empty. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
      ) from error
    key = (str(manual_dir), settings.without_encoding())
    if Builder._prepared is None or Builder._prepared[0] != key:
      spool_dir = self.data_dir_root
      spool_dir.mkdir(parents=True, exist_ok=True)
      Builder._prepared = (
        key,
        prepare.prepare(manual_dir, settings, spool_dir=spool_dir),
      )
    prepared = Builder._prepared[1]
    return {
      split: prepared.examples(split, settings.encoding)
      for split in prepared.splits()
    }

  def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
    raise NotImplementedError("_split_generators returns the generators")

  def _example_writer(self) -> shards.StableWriter:
    file_format = self.info.file_format or tfds.core.FileFormat.TFRECORD
    if file_format is tfds.core.FileFormat.PARQUET:
      # TFDS 4.9.10 drops most rows silently: 1,000 examples become 400.
      raise cli.UserError(
        "--file_format: got parquet, which loses examples in this version of "
        "TFDS; allowed: tfrecord, array_record"
      )
    return shards.StableWriter(file_format)

  def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
    super()._download_and_prepare(*args, **kwargs)
    if Builder._prepared is not None:
      # data_path is the unpublished folder here: one rename publishes both.
      rows = Builder._prepared[1].rows
      (self.data_path / "photos.csv").write_text(curate.csv_text(rows))

  def _post_download_and_prepare_hook(self) -> None:
    super()._post_download_and_prepare_hook()
    if Builder._prepared is None:
      return
    text = (
      f"\n{self.info.full_name}\n"
      f"{curate.describe(Builder._prepared[1].rows)}\n"
      f"Every file is accounted for in {self.data_path / 'photos.csv'}\n"
      f"Next: python -m training.train --data_dir={self.data_dir_root} "
      f"--config={self._config.name} --workdir=W"
    )
    if not cli.is_program("tfds"):
      print(text)
      return
    if not _closing_words:  # They go below the page that `tfds build` prints.
      atexit.register(lambda: print(*_closing_words, sep="\n"))
    _closing_words.append(text)
