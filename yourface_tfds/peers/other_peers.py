"""DALI, WebDataset and Hugging Face datasets: each reads JPEG."""

# None of their libraries is part of the project.
# pyright: reportMissingImports=false

import pathlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from yourface_tfds.peers import peer

_BUFFER = 10_000


def _index_of(shard: str) -> str:
  """Returns lines of offset and length of each record of a TFRecord file."""
  lines, offset = [], 0
  with pathlib.Path(shard).open("rb") as file:
    # https://www.tensorflow.org/tutorials/load_data/tfrecord: uint64 length,
    # 4 bytes of checksum, data, 4 bytes of checksum.
    while header := file.read(12):
      length = struct.unpack("<Q", header[:8])[0] + 16
      lines.append(f"{offset} {length}\n")
      offset = file.seek(offset + length)
  return "".join(lines)


def _index_files(source: peer.Source, folder: pathlib.Path) -> list[str]:
  return [
    str(folder / f"{number:05}.idx")
    for number in range(len(source.jpeg_shards))
  ]


def _prepare_dali(source: peer.Source, folder: pathlib.Path) -> None:
  files = _index_files(source, folder)
  for shard, file in zip(source.jpeg_shards, files, strict=True):
    pathlib.Path(file).write_text(_index_of(shard))


def _make_dali(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  from nvidia.dali import Pipeline, fn, tfrecord

  features = {"image": tfrecord.FixedLenFeature((), tfrecord.string, "")}
  for name in peer.LABELS:
    features[name] = tfrecord.FixedLenFeature([1], tfrecord.int64, -1)
  pipeline = Pipeline(
    batch_size=batch_size, num_threads=source.workers, device_id=None, seed=0
  )
  with pipeline:
    read = fn.readers.tfrecord(
      path=list(source.jpeg_shards),
      index_path=_index_files(source, folder),
      features=features,
      random_shuffle=True,
      initial_fill=_BUFFER,
      # Else the last batch of an epoch takes faces of the next.
      pad_last_batch=True,
    )
    images = fn.decoders.image(read["image"], device="cpu")
    pipeline.set_outputs(images, *(read[name] for name in peer.LABELS))
  pipeline.build()

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    left = source.count
    while left > 0:
      images, *labels = (
        np.asarray(output.as_tensor())[:left] for output in pipeline.run()
      )
      yield images, labels
      left -= len(images)

  return epoch


_TARS = 8  # A worker reads whole files: more of them than workers.


def _prepare_webdataset(source: peer.Source, folder: pathlib.Path) -> None:
  import webdataset

  writers = [
    webdataset.TarWriter(str(folder / f"faces-{number:05}.tar"))
    for number in range(_TARS)
  ]
  labels = source.labels()
  for index, data in enumerate(source.jpegs()):
    writers[index * _TARS // source.count].write(
      {"__key__": f"{index:08}", "jpg": data, "npy": labels[index]}
    )
  for writer in writers:
    writer.close()


def _make_webdataset(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  import webdataset

  tars = sorted(str(file) for file in folder.glob("*.tar"))
  faces = (
    webdataset.WebDataset(tars, shardshuffle=len(tars))
    .shuffle(_BUFFER // max(source.workers, 1))
    .decode("rgb8")
    .to_tuple("jpg", "npy")
    .batched(batch_size)
  )
  loader = webdataset.WebLoader(
    faces,
    batch_size=None,
    num_workers=source.workers,
    persistent_workers=source.workers > 0,
  )

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    yield from loader

  return epoch


def _prepare_hf(source: peer.Source, folder: pathlib.Path) -> None:
  import datasets

  def rows() -> Iterator[dict[str, Any]]:
    for data, labels in zip(
      source.jpegs(), source.labels().tolist(), strict=True
    ):
      yield {
        "image": {"bytes": data, "path": None},
        **dict(zip(peer.LABELS, labels, strict=True)),
      }

  features: dict[str, Any] = {"image": datasets.Image()}
  for name in peer.LABELS:
    features[name] = datasets.Value("int64")
  faces: Any = datasets.Dataset.from_generator(
    rows,
    features=datasets.Features(features),
    cache_dir=str(folder / "cache"),
  )
  faces.save_to_disk(str(folder / "faces"))


def _make_hf(
  source: peer.Source, folder: pathlib.Path, batch_size: int
) -> peer.Epoch:
  import datasets

  faces: Any = datasets.load_from_disk(str(folder / "faces"))
  faces = faces.with_format("numpy")

  def epoch(seed: int) -> Iterable[tuple[Any, Any]]:
    # In memory: else each epoch leaves a file of indices.
    shuffled = faces.shuffle(seed=seed, keep_in_memory=True)
    for batch in shuffled.iter(batch_size=batch_size):
      yield batch["image"], tuple(batch[name] for name in peer.LABELS)

  return epoch


PEERS = (
  peer.Peer(
    name="dali",
    title="DALI, CPU",
    encoding="jpeg",
    shuffle="buffer 10,000",
    modules=("nvidia.dali.fn", "nvidia.dali.tfrecord"),
    prepare=_prepare_dali,
    make=_make_dali,
    note="reads the TFRecords; use_fast_idct off; gives views of its buffers; "
    "its seed is fixed",
  ),
  peer.Peer(
    name="webdataset",
    title="WebDataset",
    encoding="jpeg",
    shuffle="tars, buffers of 10,000 in all",
    modules=("torch", "webdataset"),
    prepare=_prepare_webdataset,
    make=_make_webdataset,
    note="WebLoader whose workers stay; seedless",
  ),
  peer.Peer(
    name="hf_datasets",
    title="Hugging Face datasets",
    encoding="jpeg",
    shuffle="global",
    modules=("datasets",),
    prepare=_prepare_hf,
    make=_make_hf,
    note="Arrow files and its Image feature (Pillow), in process",
  ),
)
