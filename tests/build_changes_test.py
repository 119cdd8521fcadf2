"""Builds while others work on the same files: photos, versions, folders.

Real processes of the stock command: photos that change while they are read, two
builds at once, and a build while the version before it is read.
"""

import shutil
import sys

import pytest

from tests import faults

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  folder = tmp_path_factory.mktemp("changes")
  return faults.drawn_builds(folder, people=6, photos=6)


@pytest.fixture
def manual_dir(whole, tmp_path):
  """The same photos, to be changed."""
  shutil.copytree(whole.manual_dir, tmp_path / "m")
  return tmp_path / "m"


def _gone(path):
  """Lays what a build finds where a file has gone after it was listed."""
  path.unlink(missing_ok=True)
  path.parent.mkdir(exist_ok=True)
  path.symlink_to("nowhere")


_CHANGES = """
photos = sorted(pathlib.Path({root!r}).rglob("*.jpg"))
photos[20].unlink()
photos[35].unlink()
photos[21].write_bytes(photos[0].read_bytes() + b"x")
os.replace(photos[22], photos[23])
os.truncate(photos[24], 1500)
photos[25].write_bytes(b"<html>404</html>")
photos[26].unlink()
photos[26].symlink_to("/etc/hostname")
photos[27].unlink()
photos[27].mkdir()
shutil.copy(photos[1], photos[1].with_name("added.jpg"))
table = pathlib.Path({table!r})
table.write_text(table.read_text("utf-8").replace("woman", "man"), "utf-8")
"""


def test_photos_and_table_that_change_while_they_are_read(manual_dir, tmp_path):
  root, table = manual_dir / "photos", manual_dir / "people.csv"
  before = table.read_bytes()
  originals = faults.photos_of(manual_dir)
  changes = _CHANGES.format(root=str(root), table=str(table))
  faults.good_build(
    manual_dir,
    tmp_path / "d",
    environment=faults.sabotage(
      tmp_path / "site", changes, event="open", place=root, times=5
    ),
  )
  assert table.read_bytes() != before
  assert (originals[1].with_name("added.jpg")).exists()
  # What was there when each file's turn came.
  table.write_bytes(before)
  originals[1].with_name("added.jpg").unlink()
  originals[27].rmdir()
  for number in (20, 22, 27, 35):
    _gone(originals[number])
  faults.good_build(manual_dir, tmp_path / "e")
  expected = faults.files(faults.version_dir(tmp_path / "e"))
  faults.assert_same_build(faults.version_dir(tmp_path / "d"), expected)
  text = expected["photos.csv"].decode()
  assert len(text.splitlines()) == 1 + len(originals)
  for word, count in (("unreadable", 5), ("not_an_image", 1), ("outside", 1)):
    assert text.count(f",{word},") == count, text


def test_a_persons_folder_that_is_renamed(manual_dir, tmp_path):
  folder = faults.photos_of(manual_dir)[-1].parent
  faults.good_build(
    manual_dir,
    tmp_path / "d",
    environment=faults.sabotage(
      tmp_path / "site",
      f"os.rename({str(folder)!r}, {str(folder) + ' anew'!r})",
      event="open",
      place=manual_dir / "photos",
      times=5,
    ),
  )
  folder.with_name(f"{folder.name} anew").rename(folder)
  for path in sorted(folder.iterdir()):
    _gone(path)
  faults.good_build(manual_dir, tmp_path / "e")
  faults.assert_same_build(
    faults.version_dir(tmp_path / "d"),
    faults.files(faults.version_dir(tmp_path / "e")),
  )


@pytest.mark.parametrize(
  ("event", "place", "words"),
  [
    # A folder that goes while folders are listed.
    ("os.scandir", "{last}", "{last}: cannot be read (No such file or direc"),
    # All photos, after they were listed and before any was read.
    ("open", "{first}", "{photos}: none of 36 files has a usable face (unrea"),
  ],
)
def test_folders_that_go(manual_dir, tmp_path, event, place, words):
  photos = faults.photos_of(manual_dir)
  root = manual_dir / "photos"
  places = {"first": photos[0], "last": photos[-1].parent, "photos": root}
  goes = places["last"] if event == "os.scandir" else root
  run = faults.build(
    manual_dir,
    tmp_path / "d",
    environment=faults.sabotage(
      tmp_path / "site",
      f"os.rename({str(goes)!r}, {str(manual_dir / 'elsewhere')!r})",
      event=event,
      place=place.format(**places),
    ),
  )
  assert faults.error_line(run).startswith(words.format(**places))
  assert not faults.version_dir(tmp_path / "d").exists()
  assert not faults.leftovers(tmp_path / "d")


def test_a_photo_that_changes_between_two_pipelines(manual_dir, tmp_path):
  photos = faults.photos_of(manual_dir)
  run = faults.build(
    manual_dir,
    tmp_path / "d",
    "--beam_pipeline_options=runner=DirectRunner",
    environment=faults.sabotage(
      tmp_path / "site",
      "\n".join(
        f"shutil.copy({str(photos[0])!r}, {str(path)!r})" for path in photos[1:]
      ),
      event="open",
      place=manual_dir / "photos",
      times=len(photos) + 3,
    ),
  )
  assert "changed while the build ran" in faults.error_line(run)
  assert not faults.version_dir(tmp_path / "d").exists()
  assert not faults.leftovers(tmp_path / "d")


def test_two_builds_of_one_config(whole, tmp_path):
  # The first one has written its shards when the second one comes.
  waits = faults.sabotage(
    tmp_path / "site",
    f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(.01)",
    event="open",
    place="photos.csv",
  )
  data_dir = tmp_path / "d"
  first = faults.start(
    faults.command(whole.manual_dir, data_dir), environment=waits
  )
  try:
    assert faults.wait_for(
      lambda: any(
        any(path.glob("*.tfrecord-*")) for path in faults.unpublished(data_dir)
      ),
      first,
    )
    second = faults.build(whole.manual_dir, data_dir)
  finally:
    (tmp_path / "go").touch()
    run = faults.finish(first)
  assert faults.error_line(second) == (
    f"{faults.version_dir(data_dir).parent}: another build writes to it; wait "
    "for it to end, or give another --data_dir"
  )
  assert run.returncode == 0, run.stderr[-3000:]
  faults.assert_same_build(faults.version_dir(data_dir), whole.files["jpeg"])
  assert not faults.leftovers(data_dir)


def test_a_build_that_another_one_overtakes(whole, tmp_path):
  # It has seen that nothing is there, and claims the folder after the other.
  data_dir = tmp_path / "d"
  published = faults.version_dir(data_dir)
  is_over = tmp_path / "the other one has ended"
  waits = faults.sabotage(
    tmp_path / "site",
    f"while not os.path.exists({str(is_over)!r}): time.sleep(.01)",
    event="os.mkdir",
    place="incomplete.",
  )
  slow = faults.start(
    faults.command(whole.manual_dir, data_dir), environment=waits
  )
  try:
    faults.wait_for((data_dir / "your_face/.config/metadata.json").exists, slow)
    faults.good_build(whole.manual_dir, data_dir)
  finally:
    is_over.touch()
    run = faults.finish(slow, 60)
  assert faults.error_line(run) == (
    f"{published}: another build has published it meanwhile; it may be used, "
    "or built anew with --overwrite"
  )
  faults.assert_same_build(published, whole.files["jpeg"])
  assert not faults.leftovers(data_dir)


def test_two_configs_at_once(whole, tmp_path):
  both = {
    config: faults.start(
      faults.command(whole.manual_dir, tmp_path, config=config)
    )
    for config in ("jpeg", "raw")
  }
  for config, process in both.items():
    run = faults.finish(process)
    assert run.returncode == 0, run.stderr[-3000:]
    faults.assert_same_build(
      faults.version_dir(tmp_path, config), whole.files[config]
    )
  assert faults.recorded(tmp_path) == 36
  assert not faults.leftovers(tmp_path)


_READ = """
import hashlib, pathlib, sys
from yourface_tfds import built_dataset, input_pipeline
data_dir, go = sys.argv[1], pathlib.Path(sys.argv[2])
dataset = built_dataset.open_dataset(data_dir, "raw")
seen, epoch = {}, 0
for epoch in range(1000):
  batches = input_pipeline.make_for_train(
    dataset, batch_size=4, seed=epoch, epochs=1, drop_remainder=False)
  found = sorted(
    hashlib.sha256(image.tobytes()).hexdigest()
    for batch in batches for image in batch["image"].numpy())
  print(epoch, hashlib.sha256(str(found).encode()).hexdigest(), flush=True)
  if go.exists():
    break
"""


def test_a_build_anew_while_the_old_one_is_read(whole, manual_dir, tmp_path):
  data_dir = tmp_path / "d"
  shutil.copytree(whole.data_dir, data_dir)
  for path in faults.photos_of(manual_dir)[::2]:
    path.unlink()
  reader = faults.start(
    [sys.executable, "-c", _READ, data_dir, tmp_path / "go"]
  )
  try:
    assert reader.stdout
    first = reader.stdout.readline().split()
    faults.good_build(manual_dir, data_dir, "--overwrite", config="raw")
  finally:
    (tmp_path / "go").touch()
    run = faults.finish(reader)
  told = [line.split() for line in run.stdout.splitlines()]
  # All of the old one, however often, or an error: never a mixture.
  assert {words[1] for words in told} <= {first[1]}
  assert run.returncode == 0 or "Error" in run.stderr, run.stderr[-2000:]
  assert not faults.leftovers(data_dir)
