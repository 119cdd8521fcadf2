"""The peers of the input benchmark, each in its real process on a few faces."""

import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from tests import conftest, drawn
from yourface_tfds.peers import child, memory, peer, registry

# Processes of other libraries: a minute.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
COUNT = 300
BATCH = 64  # The last batch of an epoch is smaller.
# One import of TensorFlow each; what only repeats another is for slow runs.
SLOW = {"seed_npy_augmented", "stock_raw"}


def face(rng):
  """Smooth, so that encoding it once more changes it little."""
  corners = rng.integers(30, 226, (3, 3, 3)).astype(np.uint8)
  size = (conftest.SIZE, conftest.SIZE)
  image = PIL.Image.fromarray(corners).resize(
    size, PIL.Image.Resampling.BICUBIC
  )
  return np.asarray(image)


def jpeg_of(image):
  file = io.BytesIO()
  PIL.Image.fromarray(image).save(file, "JPEG", quality=95)
  return file.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory, write_dataset):
  rng = np.random.default_rng(0)
  images = np.stack([face(rng) for _ in range(COUNT)])
  jpegs = [jpeg_of(image) for image in images]
  labels = np.stack([rng.integers(-1, end, COUNT) for end in (2, 2, 11)], 1)
  folder = tmp_path_factory.mktemp("source")
  np.save(folder / "raw.npy", images)
  (folder / "jpeg.bin").write_bytes(b"".join(jpegs))
  np.save(folder / "jpeg_ends.npy", np.cumsum([len(data) for data in jpegs]))
  np.save(folder / "labels.npy", labels)
  examples = [
    {
      "image": images[number],
      "jpeg": jpegs[number],
      **dict(zip(peer.LABELS, labels[number].tolist(), strict=True)),
      "person": "p",
      "photo": f"p/{number:03}.jpg",
      "box": np.full(4, 0.5, np.float32),
      "landmarks": np.full((5, 2), 0.5, np.float32),
      "score": np.float32(0.99),
      "faces": 1,
    }
    for number in range(COUNT)
  ]
  data_dir = folder / "data"
  names = {
    encoding: write_dataset(data_dir, {"train": examples}, encoding)
    for encoding in ("jpeg", "raw")
  }
  return peer.Source(
    folder=folder,
    raw_shards=shards(data_dir, names["raw"]),
    jpeg_shards=shards(data_dir, names["jpeg"]),
    data_dir=str(data_dir),
    raw_config=names["raw"],
    jpeg_config=names["jpeg"],
    size=conftest.SIZE,
    count=COUNT,
  )


def shards(data_dir, config):
  files = sorted((data_dir / "your_face" / config).rglob("*.tfrecord-*"))
  assert len(files) == 3
  return tuple(str(file) for file in files)


def run_child(source, name, folder, *flags, lines=""):
  """Returns the answers of a child, and its stderr."""
  file = source.folder / "source.json"
  file.write_text(source.to_json())
  run = subprocess.run(
    [
      sys.executable,
      "-m",
      "yourface_tfds.peers.child",
      f"--peer={name}",
      f"--source={file}",
      f"--folder={folder}",
      f"--batch_size={BATCH}",
      *flags,
    ],
    cwd=ROOT,
    env=drawn.environment(),
    input=lines,
    capture_output=True,
    encoding="utf-8",
    timeout=300,
  )
  return [json.loads(line) for line in run.stdout.splitlines()], run.stderr


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in registry.PEERS
  ],
)
def test_every_face_and_label_once(name, source, tmp_path):
  one = registry.PEERS[name]
  reason = one.missing()
  if reason:
    pytest.skip(reason)
  answers, said = run_child(source, name, tmp_path / name, "--prepare")
  assert answers == [{"prepared": True}], said[-2000:]
  answers, said = run_child(
    source, name, tmp_path / name, lines="check\nepoch 1\ncheck\nstop\n"
  )
  assert len(answers) == 5, said[-2000:]
  ready, seen, epoch, again, end = answers
  assert ready["ready"]
  assert seen["images"] == COUNT
  columns = [peer.LABELS.index(column) for column in one.columns]
  assert seen["labels"] == source.labels().sum(0)[columns].tolist()
  assert seen["seen_once"] is (None if one.augments else True)
  apart = abs(seen["mean"] - float(source.raw().mean()))
  exact = one.encoding == "raw" and not one.augments
  assert apart < (1e-3 if exact else 3), apart
  # What an epoch leaves in buffers must not reach the next.
  assert again["seen_once"] == seen["seen_once"]
  assert again["labels"] == seen["labels"]
  assert epoch["images"] == COUNT
  assert 0 < epoch["first_batch_ms"] <= 1000 * epoch["seconds"]
  assert 0 < end["imported_mb"] == ready["imported_mb"]
  assert end["peak_anonymous_mb"] >= end["imported_mb"]


def test_names_are_their_keys():
  for name, one in registry.PEERS.items():
    assert one.name == name
    assert one.title and one.shuffle
    assert one.modules or name == "memcpy"  # NumPy alone.
    assert set(one.columns) <= set(peer.LABELS)
  assert len({one.title for one in registry.PEERS.values()}) == len(
    registry.PEERS
  )


def test_a_source_survives_json(source):
  assert peer.Source.from_json(source.to_json()) == source


def test_the_jpegs_of_a_source(source):
  jpegs = list(source.jpegs())
  assert len(jpegs) == COUNT
  assert all(data.startswith(b"\xff\xd8") for data in jpegs)


def made(**changes):
  settings = {
    "name": "made",
    "title": "Made",
    "encoding": "raw",
    "shuffle": "none",
    "modules": (),
    "prepare": peer.nothing,
    "make": lambda source, folder, batch_size: lambda seed: [],
  }
  return peer.Peer(**settings | changes)


def test_a_module_that_is_not_there_is_named():
  assert made(modules=("json", "no_such_library.part")).missing() == (
    "no module no_such_library; training/install_peers.sh installs it"
  )


def test_a_module_that_breaks_says_why():
  assert made(modules=("json.no_such_part",)).missing() == (
    "import json.no_such_part: ModuleNotFoundError: No module named "
    "'json.no_such_part'"
  )
  assert not made(modules=("json",)).missing()


def test_only_known_encodings():
  with pytest.raises(ValueError) as error:
    made(encoding="png")
  assert str(error.value) == ("encoding of made: got 'png', allowed: jpeg, raw")


def test_all_in_memory_refuses_what_is_too_much(source):
  assert not registry.PEERS["seed_npy"].refusal(source)
  huge = peer.Source.from_json(
    source.to_json().replace(f'"count": {COUNT}', '"count": 1000000000')
  )
  reason = registry.PEERS["seed_npy"].refusal(huge)
  assert reason.startswith("1,000,000,000 float32 images take 12288.0 GB;")
  answers, _ = run_child(huge, "seed_npy", "nowhere")
  assert answers == [{"ready": False, "reason": answers[0]["reason"]}]
  assert answers[0]["reason"].startswith("1,000,000,000 float32 images")


def test_repeated_and_forgotten_faces_are_seen(source):
  raw, labels = source.raw(), source.labels()
  for order in ([*range(1, COUNT), 1], range(COUNT - 1), [*range(COUNT), 0]):
    rows = list(order)
    seen = child.check(
      made(), source, lambda seed, rows=rows: [(raw[rows], labels[rows])]
    )
    assert seen["images"] == len(rows)
    assert not seen["seen_once"]


def test_peers_of_ones_own(source, tmp_path):
  raw, labels = source.raw(), source.labels()
  one = made(make=lambda *_: lambda seed: [(raw, labels)])
  answers = []
  child.serve(
    one, source, tmp_path, BATCH, ["check\n", "stop\n"], answers.append
  )
  ready, seen, end = answers
  assert ready["ready"] and seen["seen_once"]
  assert end["imported_mb"] == ready["imported_mb"]


def test_the_peak_is_of_what_is_held():
  before = memory.held_mb()
  with memory.Peak() as peak:
    held = np.ones(100 << 20, np.uint8)
    subprocess.run(
      [
        sys.executable,
        "-c",
        "import time; a = b'1' * (50 << 20); time.sleep(1)",
      ],
      check=True,
    )
    assert held[0]
  assert peak.mb - before == pytest.approx(104.9 + 52.4, abs=25)
