"""The classifier's .tflite files, and what reads them."""

import io
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert import interpreter, schema_py_generated

from tests import differences, drawn
from yourface_tfds import (
  calibrated,
  cli,
  gate,
  labels,
  models,
  quiet,
  sample_drawing,
  storage,
  tflite_classifier,
  tflite_lib,
  train_settings,
)

SIZE = 64
ROOT = pathlib.Path(__file__).parents[1]
WORDS = cli.dump_json({"heads": {"job": {"korean": ["배우", "가수"]}}})


def operators(content):
  """Returns the names of all operators of all signatures of a file."""
  model = schema_py_generated.Model.GetRootAsModel(content, 0)
  names = {
    code: name
    for name, code in vars(schema_py_generated.BuiltinOperator).items()
    if not name.startswith("_")
  }
  codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
  return {names[code.BuiltinCode()] for code in codes if code}


def is_builtin(name):
  return name != "CUSTOM" and not name.startswith("STABLEHLO")


def build(**settings):
  """Returns a float32 model with the weights of a bfloat16 training."""
  keras.utils.set_random_seed(5)
  settings = models.ModelSettings(image_size=SIZE, **settings)
  mixed = models.build_model(settings, "mixed_bfloat16")
  model = models.build_model(settings)
  model.set_weights(mixed.get_weights())
  # Heads of a new model say .5 to everything; these tell faces apart.
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(30.0 * kernel)
  return model


@pytest.fixture(scope="module")
def model():
  return build()


@pytest.fixture(scope="module")
def faces():
  """Twelve photos of drawn people, without true black and white."""
  images = [
    sample_drawing.draw_photo(sample_drawing.make_person(3, i), 3, 0)
    for i in range(12)
  ]
  small = np.stack([np.asarray(image.resize((SIZE, SIZE))) for image in images])
  return np.clip(small, 20, 200)


@pytest.fixture(scope="module")
def files(model, faces, tmp_path_factory):
  """Kind -> path."""
  folder = tmp_path_factory.mktemp("tflite")
  paths = {}
  for kind in tflite_lib.KINDS:
    paths[kind] = folder / tflite_lib.file_name(kind)
    tflite_lib.write(model, kind, SIZE, faces[:8], WORDS, paths[kind])
  assert sorted(folder.iterdir()) == sorted(paths.values())
  return paths


def test_names(files):
  assert [path.name for path in files.values()] == [
    "your_face_float32.tflite",
    "your_face_float16.tflite",
    "your_face_int8.tflite",
  ]


@pytest.mark.parametrize("kind", tflite_lib.KINDS)
def test_signature(files, kind):
  runtime = interpreter.Interpreter(str(files[kind]))
  assert list(runtime.get_signature_list()) == ["serving_default"]
  runner = runtime.get_signature_runner("serving_default")
  ((name, details),) = runner.get_input_details().items()
  assert name == "faces"
  assert details["shape"].tolist() == [1, SIZE, SIZE, 3]
  if kind == "int8":
    assert details["dtype"] == np.uint8
    # Pixels go in as they are.
    assert details["quantization"] == (1.0, 0)
  else:
    assert details["dtype"] == np.float32
  outputs = runner.get_output_details()
  assert {
    head: (details["dtype"], details["shape"].tolist())
    for head, details in outputs.items()
  } == {
    head: (np.float32, [1, len(vocabulary.names)])
    for head, vocabulary in labels.HEADS.items()
  }


@pytest.mark.parametrize("kind", tflite_lib.KINDS)
def test_builtin_operators_only(files, kind):
  names = operators(files[kind].read_bytes())
  assert {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"} <= names
  assert all(map(is_builtin, names)), names
  assert ("DEQUANTIZE" in names) == (kind != "float32")


@pytest.mark.parametrize(
  ("kind", "limit"), [("float32", 1e-5), ("float16", 5e-3), ("int8", 0.05)]
)
def test_answers_are_those_of_keras(model, files, faces, kind, limit):
  classifier = tflite_classifier.Classifier(files[kind])
  assert classifier.image_size == SIZE
  expected = model(faces.astype(np.float32), training=False)
  got = classifier(faces)
  assert set(got) == set(labels.HEADS)
  for head, values in got.items():
    assert values.dtype == np.float32
    # Weights that were lost would give the same answer for every face.
    assert np.ptp(expected[head], axis=0).max() > 0.1
    np.testing.assert_allclose(values, expected[head], atol=limit)
  difference = differences.largest_difference(model, classifier, faces)
  assert difference <= limit
  assert difference == max(
    np.abs(values - expected[head]).max() for head, values in got.items()
  )


def test_float16_and_int8_are_smaller(files):
  sizes = {kind: path.stat().st_size for kind, path in files.items()}
  assert sizes["float16"] < 0.55 * sizes["float32"]
  assert sizes["int8"] < 0.32 * sizes["float32"]


@pytest.mark.parametrize("kind", tflite_lib.KINDS)
def test_words_are_in_the_file(files, kind):
  assert tflite_classifier.Classifier(files[kind]).labels == json.loads(WORDS)
  with zipfile.ZipFile(files[kind]) as archive:
    assert archive.testzip() is None
    assert archive.namelist() == [
      *("labels.json", "gender.txt", "job.txt", "face_type.txt")
    ]
    assert archive.read("labels.json").decode() == WORDS
    for head, vocabulary in labels.HEADS.items():
      lines = archive.read(f"{head}.txt").decode().splitlines()
      assert tuple(lines) == vocabulary.names


def test_unzip_reads_the_words(files):
  if not shutil.which("unzip"):
    pytest.skip("no program unzip")
  done = subprocess.run(
    ["unzip", "-p", files["int8"], "labels.json"],
    capture_output=True,
    check=True,
  )
  assert done.stdout.decode() == WORDS
  assert done.stderr == b""


@pytest.mark.parametrize("kind", tflite_lib.KINDS)
def test_same_model_same_bytes(model, files, faces, kind, tmp_path):
  path = tmp_path / "again.tflite"
  tflite_lib.write(model, kind, SIZE, faces[:8], WORDS, path)
  assert path.read_bytes() == files[kind].read_bytes()


def test_content_and_path_are_the_same(files, faces):
  one = tflite_classifier.Classifier(files["int8"].read_bytes(), threads=2)
  other = tflite_classifier.Classifier(str(files["int8"]))
  assert one.labels == other.labels
  for head, values in one(faces).items():
    np.testing.assert_array_equal(values, other(faces)[head])


def test_an_empty_batch(files):
  classifier = tflite_classifier.Classifier(files["float32"])
  answer = classifier(np.zeros((0, SIZE, SIZE, 3), np.uint8))
  assert {head: values.shape for head, values in answer.items()} == {
    head: (0, len(vocabulary.names))
    for head, vocabulary in labels.HEADS.items()
  }


@pytest.mark.parametrize(
  "wrong",
  [
    np.zeros((1, SIZE, SIZE, 3), np.float32),
    np.zeros((SIZE, SIZE, 3), np.uint8),
    np.zeros((1, SIZE, SIZE + 1, 3), np.uint8),
  ],
)
def test_other_faces_are_refused(files, wrong):
  classifier = tflite_classifier.Classifier(files["float32"])
  with pytest.raises(ValueError, match=r"allowed: uint8\[B, 64, 64, 3\]"):
    classifier(wrong)


def test_neither_tensorflow_nor_noise(files, faces, tmp_path):
  np.save(tmp_path / "faces.npy", faces)
  code = (
    "import sys, numpy as np\n"
    "from yourface_tfds import tflite_classifier\n"
    "classifier = tflite_classifier.Classifier(sys.argv[1])\n"
    "print(classifier(np.load(sys.argv[2]))['job'].shape)\n"
    "assert 'tensorflow' not in sys.modules\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, files["int8"], tmp_path / "faces.npy"],
    capture_output=True,
    encoding="utf-8",
    cwd=ROOT,
  )
  assert (done.returncode, done.stderr) == (0, "")
  assert done.stdout == "(12, 2)\n"


def test_other_lines_on_standard_error_are_let_through(capfd):
  with quiet.without_greeting():
    print("INFO: Created TensorFlow Lite XNNPACK", file=sys.stderr, flush=True)
    print("mine", file=sys.stderr, flush=True)
    subprocess.run(
      ["sh", "-c", "echo INFO: Created TensorFlow Lite XNNPACK delegate >&2"],
      check=True,
    )
  assert capfd.readouterr().err == (
    "INFO: Created TensorFlow Lite XNNPACK\nmine\n"
  )


AGAIN = (
  "; export one with: python -m export.export_tflite --workdir=W --data_dir=D "
  "--output_dir=E"
)


def refusal(source):
  with pytest.raises(cli.UserError) as error:
    tflite_classifier.Classifier(source)
  text = str(error.value)
  assert text.endswith(AGAIN)
  assert "\n" not in text
  return text.removesuffix(AGAIN)


def test_what_is_no_file_of_ours_is_refused(files, tmp_path):
  missing = tmp_path / "missing.tflite"
  assert refusal(missing) == f"got '{missing}', no such file"
  assert refusal(tmp_path) == f"got '{tmp_path}', no such file"
  page = tmp_path / "page.tflite"
  page.write_text("<html>" * 99)
  assert refusal(page).startswith(
    f"got '{page}', which is no TFLite file that can be run ("
  )
  assert refusal(b"").startswith("got 0 bytes, which is no TFLite file")
  content = files["float32"].read_bytes()
  assert refusal(content[:2000]).startswith("got 2000 bytes, which is no TFL")
  bare = content[
    : content.rindex(b"PK\x03\x04", 0, content.find(WORDS.encode()))
  ]
  assert refusal(bare) == (
    f"got {len(bare)} bytes, a TFLite file without labels.json in it"
  )
  other = tflite_lib.attach(bare, {"other.json": "{}"})
  assert "without labels.json" in refusal(other)
  broken = tflite_lib.attach(bare, {"labels.json": "{"})
  assert "without labels.json" in refusal(broken)


def test_another_signature_is_refused(tmp_path):
  model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
  path = tmp_path / "other.tflite"
  with quiet.without_greeting():
    model.export(path, format="litert", verbose=False)
  assert refusal(path) == (
    f"got '{path}', a TFLite file without a signature serving_default of one "
    "input faces"
  )


def test_convert_refuses_what_it_was_not_made_for(model, faces):
  with pytest.raises(
    ValueError, match="Got kind 'int4', allowed: float32, float16, int8"
  ):
    tflite_lib.convert(model, "int4", SIZE, faces)
  for wrong in (faces.astype(np.float32), faces[:, 1:], faces[0]):
    with pytest.raises(ValueError, match=r"allowed: uint8\[images, 64, 64, 3"):
      tflite_lib.convert(model, "float32", SIZE, wrong)


def test_int8_takes_pixels_as_they_are_whatever_reads_them(faces):
  """Where the input shares its range with values down to -123."""
  keras.utils.set_random_seed(0)
  image = keras.Input((SIZE, SIZE, 3))
  both = keras.layers.Concatenate()(
    [image, keras.layers.Rescaling(1.0, -123.0)(image)]
  )
  maps = keras.layers.Conv2D(4, 5, strides=5, activation="relu")(both)
  maps = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(maps))
  model = keras.Model(
    image,
    {
      head: keras.layers.Dense(
        len(vocabulary.names), activation="softmax", name=head
      )(maps)
      for head, vocabulary in labels.HEADS.items()
    },
  )
  content = tflite_lib.convert(model, "int8", SIZE, faces)
  classifier = tflite_classifier.Classifier(
    tflite_lib.attach(content, {"labels.json": WORDS})
  )
  assert differences.largest_difference(model, classifier, faces) < 0.1
  runtime = interpreter.Interpreter(model_content=content)
  assert runtime.get_input_details()[0]["quantization"] == (1.0, 0)


def test_a_refused_file_leaves_the_old_one(model, faces, tmp_path):
  path = tmp_path / "x" / "y.tflite"
  seen = []

  def check(temporary):
    seen.append(temporary)
    assert temporary != path
    classifier = tflite_classifier.Classifier(temporary)
    assert classifier.labels == json.loads(WORDS)
    raise ValueError("not good enough")

  for content in (None, b"old"):
    if content:
      path.write_bytes(content)
    with pytest.raises(ValueError, match="not good enough"):
      tflite_lib.write(model, "float32", SIZE, faces, WORDS, path, check)
    found = list(path.parent.iterdir())
    assert found == ([path] if content else [])
  assert len(seen) == 2
  assert path.read_bytes() == b"old"


def test_attached_files_do_not_depend_on_the_time(monkeypatch):
  one = tflite_lib.attach(b"model", {"a.txt": "가\n"})
  monkeypatch.setattr("time.time", lambda: 0.0)
  assert tflite_lib.attach(b"model", {"a.txt": "가\n"}) == one
  assert one.startswith(b"model")
  with zipfile.ZipFile(io.BytesIO(one)) as archive:
    (info,) = archive.infolist()
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert archive.read(info) == "가\n".encode()


@pytest.mark.slow  # 20 to 40 s each.
@pytest.mark.parametrize("name", models.model_names()[1:7])
def test_every_model_becomes_builtin_operators(faces, name):
  model = build(model=name)
  # float16 has the operators of float32, its weights apart.
  for kind, limit in (("float32", 1e-4), ("int8", 1.0)):
    content = tflite_lib.convert(model, kind, SIZE, faces)
    assert all(map(is_builtin, operators(content)))
    content = tflite_lib.attach(content, {"labels.json": WORDS})
    classifier = tflite_classifier.Classifier(content)
    difference = differences.largest_difference(model, classifier, faces)
    assert difference <= limit


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A run whose network has no training behind it, for 32 pixels."""
  folder = tmp_path_factory.mktemp("workdir")
  settings = train_settings.TrainSettings(image_size=32)
  keras.utils.set_random_seed(0)
  model = models.build_model(settings.model_settings())
  for head in labels.HEADS:
    # Sure of itself: int8 would change the answers of one that is not.
    bias = model.get_layer(head).bias
    bias.assign(3.0 * (np.arange(bias.shape[0]) == 0))
  model.save_weights(folder / "best.weights.h5")
  storage.write_text(folder / "settings.json", cli.dump_json(vars(settings)))
  calibrated.write(folder, {})
  return folder


def run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "export.export_tflite", *map(str, arguments)],
    cwd=ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )


def test_the_command_writes_every_file(workdir, tiny_data_dir, tmp_path):
  out = tmp_path / "out"
  done = run(
    *(f"--workdir={workdir}", f"--data_dir={tiny_data_dir}"),
    *(f"--output_dir={out}", "--config=raw-image_size_32"),
  )
  assert done.returncode == 0, done.stderr
  # Nothing but progress.
  assert "INFO" not in done.stderr
  names = [
    *(f"your_face_{kind}.tflite" for kind in tflite_lib.KINDS),
    *("your_face_detector.tflite", "labels.json"),
  ]
  assert sorted(path.name for path in out.iterdir()) == sorted(
    [*names, "verify.json"]
  )
  lines = done.stdout.splitlines()
  for line, name in zip(lines, names, strict=False):
    size = (out / name).stat().st_size / 1024
    assert line.startswith(f"Wrote {out / name}, {size:,.0f} KB")
  assert lines[5] == "Compared with the model, on test:"
  found = gate.read(out)
  assert found["passed"] is True
  assert set(found["ways"]) == {"keras", *tflite_lib.KINDS}
  for kind in tflite_lib.KINDS:
    assert found["ways"][kind]["images"] == 12
    assert found["ways"][kind]["heads"]["job"]["max_difference"] < 0.02
  assert lines[-1] == (
    f"Next: python -m export.export_saved_model --workdir={workdir} "
    f"--output_dir={out}"
  )
  words = (out / "labels.json").read_text(encoding="utf-8")
  for kind in tflite_lib.KINDS:
    path = out / tflite_lib.file_name(kind)
    assert tflite_classifier.Classifier(path).labels == json.loads(words)


def test_one_that_is_refused_does_not_keep_the_others_away(
  workdir, tiny_data_dir, tmp_path
):
  out = tmp_path / "out"
  code = (
    "import runpy, sys\n"
    "from yourface_tfds import parity\n"
    "parity.LIMITS = {**parity.LIMITS, 'float16': 0.0}\n"
    "sys.argv[0] = 'export_tflite'\n"
    "runpy.run_module('export.export_tflite', run_name='__main__')\n"
  )
  done = subprocess.run(
    [
      *(sys.executable, "-c", code, f"--workdir={workdir}"),
      *(f"--data_dir={tiny_data_dir}", "--config=raw-image_size_32"),
      *(f"--output_dir={out}", "--kinds=float16,float32"),
    ],
    cwd=ROOT,
    env=drawn.environment(),
    capture_output=True,
    encoding="utf-8",
  )
  assert done.returncode == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith("error: float16: gender differs from Keras by ")
  assert last.endswith("allowed: 0; it was not written")
  names = {path.name for path in out.iterdir()}
  assert "your_face_float32.tflite" in names
  assert "your_face_float16.tflite" not in names
  assert {"labels.json", "your_face_detector.tflite", "verify.json"} <= names
  assert set(gate.read(out)["ways"]) == {"keras", "float32"}


def test_the_command_refuses_other_kinds(tmp_path):
  done = run(
    *("--workdir=w", "--data_dir=d", f"--output_dir={tmp_path / 'out'}"),
    "--kinds=float32,int4",
  )
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr == (
    "error: --kinds: got 'int4', allowed: float32, float16, int8; give one of "
    "them, or several with commas between\n"
  )
  assert not list(tmp_path.iterdir())
