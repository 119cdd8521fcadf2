"""Builder of your_face: faces cropped from web photos, three labels each.

Thin over `yourface_tfds.prepare` and `yourface_tfds.shards`, which do the work.
"""

import atexit
import contextlib
import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow_datasets as tfds

from yourface_tfds import (
  build_errors,
  build_facts,
  build_folder,
  build_reports,
  build_settings,
  cli,
  curate,
  examples,
  labels,
  mtcnn,
  prepare,
  shards,
  storage,
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


def features(
  settings: build_settings.BuildSettings,
) -> tfds.features.FeaturesDict:
  """Returns the features of an example."""
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
  return tfds.features.FeaturesDict(
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
  )


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

  # What the photos gave: `prepare.Prepared`, on Beam `beam_build.Plan`.
  _photos: Any = None

  @property
  def _config(self) -> YourFaceConfig:
    # TFDS types it as optional; with BUILDER_CONFIGS there always is one.
    return cast(YourFaceConfig, self.builder_config)

  def _info(self) -> tfds.core.DatasetInfo:
    settings = self._config.settings
    return self.dataset_info_from_configs(
      features=features(settings),
      supervised_keys=("image", {head: head for head in labels.HEADS}),
      # The exported model must cut faces out the way this build did.
      metadata=tfds.core.MetadataDict(dataclasses.asdict(settings)),
    )

  def download_and_prepare(self, **options: Any) -> None:
    """Builds; what the disk refuses, and a second build, are one line."""
    config = options.get("download_config")
    with (
      build_errors.plain(self.data_dir_root),
      contextlib.ExitStack() as self._claims,  # Until it is published.
    ):
      if not (config and config.download_mode.overwrite_dataset):
        shards = [f for s in self.info.splits.values() for f in s.filenames]
        build_folder.check_whole(storage.path(self.data_path), shards)
      super().download_and_prepare(**options)

  def _generate_splits(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> Sequence[tfds.core.SplitInfo]:
    """Looks at the photos, then writes the shards: ours, or TFDS by its own."""
    self._check_format()
    manual_dir = self._manual_dir(dl_manager)
    work_dir = self._work_dir()
    if cli.is_program("tfds"):  # Elsewhere the process is not ours to tune.
      mtcnn.use_one_thread_per_call()
    claim = build_folder.claimed(storage.path(self.data_path))
    self._claims.enter_context(claim)
    if download_config.beam_options or download_config.beam_runner:
      from yourface_tfds import beam_build  # Imports Beam: 2 s.

      self._photos = beam_build.plan(
        manual_dir,
        self._config.settings,
        work_dir=work_dir,
        shared_dir=storage.path(self.data_path),
        options=download_config.beam_options,
        runner=download_config.beam_runner,
      )
      return super()._generate_splits(dl_manager, download_config)
    self._photos = prepare.prepare(
      manual_dir, self._config.settings, work_dir=work_dir
    )
    if self.info.file_format is not tfds.core.FileFormat.TFRECORD:
      return super()._generate_splits(dl_manager, download_config)
    return [
      self._write_split(split, download_config)
      for split in self._photos.splits()
    ]

  def _work_dir(self) -> pathlib.Path:
    return build_folder.work_dir(storage.path(self.data_dir_root) / self.name)

  def _manual_dir(self, dl_manager: tfds.download.DownloadManager) -> str:
    try:
      # What TFDS was given: it would look for photos elsewhere, too.
      given = dl_manager._manual_dir
      storage.only_local(given or "", "--manual_dir")
      return str(dl_manager.manual_dir)
    except AssertionError as error:
      raise cli.UserError(
        f"--manual_dir: missing or empty. {self.MANUAL_DOWNLOAD_INSTRUCTIONS}"
      ) from error

  def _write_split(
    self, split: str, download_config: tfds.download.DownloadConfig
  ) -> tfds.core.SplitInfo:
    template = self._get_filename_template(split)
    members = self._photos.members(split)
    rows = {examples.key(row): row for row in members}
    limit = download_config.max_examples_per_split
    if limit:
      rows = dict(itertools.islice(rows.items(), limit))
    lengths, size = shards.write_split(
      template,
      {key: self._photos.record_length(row) for key, row in rows.items()},
      lambda key: self._photos.example(rows[key]),
      num_shards=download_config.num_shards,
    )
    return tfds.core.SplitInfo(
      name=split,
      shard_lengths=lengths,
      num_bytes=size,
      filename_template=template,
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> Mapping[str, Any]:
    """Returns the examples for TFDS's own writers, by split."""
    del dl_manager
    present = {row.split for row in self._photos.rows}
    return {
      split: self._photos.transform(split)
      if hasattr(self._photos, "transform")
      else self._generate_examples(split)
      for split in curate.SPLITS
      if split in present
    }

  def _generate_examples(
    self, split: str
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in self._photos.members(split):
      example = self._photos.example(row)
      yield (
        examples.key(row),
        examples.encodable(example, self._config.settings),
      )

  def _check_format(self) -> None:
    if self.info.file_format is tfds.core.FileFormat.PARQUET:
      # TFDS 4.9.10 drops most rows silently: 1,000 examples become 400.
      raise cli.UserError(
        "--file_format: got parquet, which loses examples in this version of "
        "TFDS; allowed: tfrecord, array_record"
      )
    is_tfrecord = self.info.file_format is tfds.core.FileFormat.TFRECORD
    if not is_tfrecord and not storage.is_local(self.data_dir_root):
      raise cli.UserError(
        "--file_format: got array_record, whose library writes to this disk "
        f"only; allowed with --data_dir={self.data_dir_root}: tfrecord"
      )

  def _example_writer(self) -> shards.StableWriter:
    file_format = self.info.file_format or tfds.core.FileFormat.TFRECORD
    return shards.StableWriter(file_format)

  def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
    super()._download_and_prepare(*args, **kwargs)
    if self._photos is not None:
      # data_path is the unpublished folder here: one rename publishes all.
      build_reports.write(
        storage.path(self.data_path),
        self._photos.rows,
        self._photos.people,
        self._config.settings,
        config_name=self._config.name,
        version=str(self.version),
        picture=getattr(self._photos, "picture", None),
      )
      getattr(self._photos, "close", lambda: None)()

  def _post_download_and_prepare_hook(self) -> None:
    super()._post_download_and_prepare_hook()
    if self._photos is None:
      return
    facts = build_facts.count(
      self._photos.rows, self._photos.people, self._config.settings
    )
    text = (
      f"\n{self.info.full_name}\n"
      f"{build_facts.table(facts)}\n"
      f"{self._detection_words()}"
      f"{build_folder.describe(storage.path(self.data_path))}\n"
      f"Next: python -m training.train --data_dir={self.data_dir_root} "
      f"--config={self._config.name} --workdir=W"
    )
    if not cli.is_program("tfds"):
      print(text)
      return
    if not _closing_words:  # They go below the page that `tfds build` prints.
      atexit.register(lambda: print(*_closing_words, sep="\n"))
    _closing_words.append(text)

  def _detection_words(self) -> str:
    detected = getattr(self._photos, "detected", None)
    if detected is None:  # On Beam nobody counts.
      return ""
    path = self._work_dir() / prepare.CACHE_NAME
    return (
      f"\nThe detector looked at {detected:,} photos; all it found is kept in\n"
      f"  {path}\n"
    )
