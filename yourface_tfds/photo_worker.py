"""One worker of the build: files in, crops and the account of each out.

  worker = PhotoWorker(settings, cache)
  outcomes = worker.work(files)          # a few dozen, of any kind

What becomes of a photo depends on its bytes and the settings alone, never on
its neighbours, so that files may be dealt to threads, processes and machines
in any way. Memory holds `_BATCH_PIXELS` of decoded photos.
"""

import collections
import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from yourface_tfds import (
  build_settings,
  cli,
  curate,
  detections,
  duplicates,
  faces,
  mtcnn,
  photos,
  quiet,
)

_DETECTION_BATCH = 8  # 1.5 times as fast as one by one; 16 gains nothing more.
_BATCH_PIXELS = 24_000_000  # Decoded photos held at once: 72 MB as RGB.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
  """What became of one file.

  Attributes:
    row: its row in photos.csv, but for group and split.
    digest: hash of its content, "" where it could not be decoded.
    found: its faces; None where it could not be decoded.
    landmarks: float32[5, 2], y x, 0..1 of the photo; None unless accepted.
    pixels: accepted: uint8[image_size, image_size, 3], or with the encoding
      `jpeg` its JPEG bytes, as the dataset holds them.
    thumbnail: JPEG of a rejected photo, b"" where it could not be decoded.
  """

  row: curate.PhotoRow
  digest: str = ""
  found: detections.Detections | None = None
  landmarks: np.ndarray | None = None
  pixels: bytes = b""
  thumbnail: bytes = b""


@dataclasses.dataclass(kw_only=True)
class _Pending:
  """A photo on its way through the worker."""

  index: int
  file: photos.PhotoFile
  data: bytes
  digest: str
  photo: photos.Photo
  found: detections.Detections | None


class PhotoWorker:
  """Looks at files; one object may serve many threads.

  Attributes:
    detected: how many photos went through the detector.
    seconds: spent in each stage, summed over the threads.
  """

  def __init__(
    self,
    settings: build_settings.BuildSettings,
    cache: detections.DetectionCache | None = None,
  ) -> None:
    self.detected = 0
    self.seconds: dict[str, float] = collections.defaultdict(float)
    self._settings = settings
    self._cache = cache
    self._finder = faces.FaceFinder(
      settings.crop_settings(), min_score=settings.min_score
    )
    # Called as they are: there is one trace, and nothing to look for.
    self._detect_traced = self._finder.detector.detect.get_concrete_function()
    self._cut_traced = self._finder.cut.get_concrete_function()
    with quiet.without_greeting():
      nothing = tf.zeros([1, mtcnn.UNIT, mtcnn.UNIT, 3], tf.uint8)
      self._detect_traced(nothing, tf.constant([[mtcnn.UNIT] * 2]))

  def work(self, files: Sequence[photos.PhotoFile]) -> list[Outcome]:
    """Returns the outcome of each file, in their order."""
    outcomes: dict[int, Outcome] = {}
    for batch in self._decoded(files, outcomes):
      self._detect([item for item in batch if item.found is None])
      for item in batch:
        outcomes[item.index] = self._finish(item)
    return [outcomes[i] for i in range(len(files))]

  def cut(
    self, file: photos.PhotoFile, found: detections.Detections
  ) -> Outcome:
    """Returns the outcome of a file whose faces are known.

    Raises:
      RejectedError: the file cannot be decoded.
    """
    data = file.read()
    return self._finish(self._pending(0, file, data, found))

  def _pending(
    self,
    index: int,
    file: photos.PhotoFile,
    data: bytes,
    found: detections.Detections | None,
  ) -> _Pending:
    long_side = self._finder.detector.settings.input_size
    photo = photos.decode_scaled(data, long_side)
    digest = hashlib.sha256(data).hexdigest()
    if found is None and self._cache:
      found = self._cache.get(digest)
    return _Pending(
      index=index, file=file, data=data, digest=digest, photo=photo, found=found
    )

  def _decoded(
    self, files: Sequence[photos.PhotoFile], outcomes: dict[int, Outcome]
  ) -> Iterator[list[_Pending]]:
    """Yields decoded photos, as many at a time as memory may hold."""
    batch, pixels = [], 0
    for index, file in enumerate(files):
      try:
        with self._timed("read and decode"):
          item = self._pending(index, file, file.read(), None)
      except photos.RejectedError as error:
        outcomes[index] = Outcome(
          row=curate.PhotoRow(
            path=file.path,
            person=file.person,
            status=error.status,
            detail=cli.one_line(error),
          )
        )
        continue
      batch.append(item)
      # A tiny picture may lie in a large file, which is held as well.
      pixels += max(item.photo.pixels.size, len(item.data)) // 3
      if pixels >= _BATCH_PIXELS:
        yield batch
        batch, pixels = [], 0
    if batch:
      yield batch

  def _detect(self, items: Sequence[_Pending]) -> None:
    """Finds the faces of photos, those of one padded shape together."""
    by_shape = collections.defaultdict(list)
    with self._timed("fit"):
      for item in items:
        image, size = mtcnn.fit_array(
          item.photo.pixels, self._finder.detector.settings.input_size
        )
        by_shape[image.shape].append((item, image, size))
    for group in by_shape.values():
      for start in range(0, len(group), _DETECTION_BATCH):
        members = group[start : start + _DETECTION_BATCH]
        images = np.stack([image for _, image, _ in members])
        sizes = np.stack([size for _, _, size in members])
        with self._timed("detect"):
          found = self._detect_traced(tf.constant(images), tf.constant(sizes))
          found = [values.numpy() for values in found]
        with self._timed("prints"):
          for row, (item, _, size) in enumerate(members):
            of_photo = found[0] == row
            item.found = _detections(
              item.photo, size, *(v[of_photo] for v in found[1:])
            )
    self.detected += len(items)
    if self._cache and items:
      self._cache.put({item.digest: item.found for item in items if item.found})

  def _finish(self, item: _Pending) -> Outcome:
    """Judges the main face of a photo and cuts it out."""
    found = item.found
    if found is None:
      raise RuntimeError(f"{item.file.path}: went past the detector")
    face = found.main(self._settings.min_score)
    row = _judge(item.file, found, face, self._settings)
    outcome = Outcome(row=row, digest=item.digest, found=found)
    if face is None or row.status != curate.ACCEPTED:
      thumbnail = photos.thumbnail(item.photo.pixels)
      return dataclasses.replace(outcome, thumbnail=thumbnail)
    with self._timed("crop"):
      photo = self._large_enough(item, row.source_side)
      pixels, _, landmarks = self._cut_traced(
        tf.constant(photo),
        tf.constant(found.fitted),
        tf.constant(face.box),
        tf.constant(face.landmarks),
      )
      pixels = pixels.numpy()
    with self._timed("encode"):
      is_jpeg = self._settings.encoding == "jpeg"
      content = photos.encode_jpeg(pixels) if is_jpeg else pixels.tobytes()
    return dataclasses.replace(
      outcome,
      landmarks=landmarks.numpy() / np.array(photo.shape[:2], np.float32),
      pixels=content,
    )

  @contextlib.contextmanager
  def _timed(self, stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
      yield
    finally:
      self.seconds[stage] += time.perf_counter() - start

  def _large_enough(self, item: _Pending, source_side: float) -> np.ndarray:
    """Returns the photo with no fewer pixels than the crop can show.

    The choice depends on the photo and the settings, not on whether the photo
    came from the cache, or two builds would differ.
    """
    longest, have = max(item.photo.size), max(item.photo.pixels.shape)
    wanted = int(np.ceil(longest * self._settings.image_size / source_side))
    if have == longest or have >= wanted:
      return item.photo.pixels
    return photos.decode_scaled(item.data, wanted).pixels


def _detections(
  photo: photos.Photo,
  fitted: np.ndarray,
  boxes: np.ndarray,
  scores: np.ndarray,
  landmarks: np.ndarray,
) -> detections.Detections:
  found = detections.Detections(
    size=photo.size,
    fitted=(int(fitted[0]), int(fitted[1])),
    boxes=boxes,
    landmarks=landmarks,
    scores=scores,
    prints={},
  )
  face = found.main(mtcnn.MIN_SCORE)
  points = None
  if face:
    points = face.landmarks * (np.array(photo.pixels.shape[:2]) / fitted)
  return dataclasses.replace(
    found, prints=duplicates.prints(photo.pixels, points)
  )


def _judge(
  file: photos.PhotoFile,
  found: detections.Detections,
  face: detections.Face | None,
  settings: build_settings.BuildSettings,
) -> curate.PhotoRow:
  row = curate.PhotoRow(
    path=file.path, person=file.person, status=curate.ACCEPTED
  )
  if face is None:
    detail = f"nothing scored {settings.min_score} or more"
    return dataclasses.replace(row, status="no_face", detail=detail)
  # In pixels of the photo at full resolution.
  box = face.box * np.tile(np.array(found.size) / found.fitted, 2)
  side = float(max(box[2:] - box[:2]))
  row = dataclasses.replace(
    row,
    faces=face.count,
    area_ratio=face.area_ratio,
    score=face.score,
    box=tuple((face.box / np.tile(found.fitted, 2)).tolist()),
    # `crop.source_side` without five calls into TensorFlow.
    source_side=max(settings.margin * side, 1.0),
  )
  if side < settings.min_face_size:
    detail = f"{side:.0f} pixels, needed: {settings.min_face_size}"
    return dataclasses.replace(row, status="face_too_small", detail=detail)
  return row
