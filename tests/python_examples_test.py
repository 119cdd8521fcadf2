"""The programs and commands of examples/, run as their user runs them."""

import base64
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import interpreter
from PIL import Image, ImageOps
from tensorflow_serving.apis import prediction_log_pb2

from tests import drawn
from yourface_tfds import (
  export_lib,
  labels,
  models,
  sample_drawing,
  sample_people,
  serving,
  tflite_lib,
  train_settings,
)

# Processes that import TensorFlow anew, each: minutes.
pytestmark = pytest.mark.slow

SIZE = 64
EXAMPLES = drawn.ROOT / "examples"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://localhost:8501"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with E, a.jpg, b.jpg (no photo) and face.png."""
  folder = tmp_path_factory.mktemp("user")
  (folder / "examples").symlink_to(EXAMPLES)
  person = sample_people.make_person(3, 1)
  photo = sample_drawing.draw_photo(person, 3, 0)
  photo.save(folder / "a.jpg", quality=92)
  (folder / "b.jpg").write_bytes(b"<html>")
  photo.crop((100, 50, 420, 350)).save(folder / "face.png")
  keras.utils.set_random_seed(5)
  model = models.build_model(models.ModelSettings(image_size=SIZE))
  # Heads of a new model say .5 to everything; these tell faces apart.
  for head in labels.HEADS:
    kernel = model.get_layer(head).kernel
    kernel.assign(30.0 * kernel)
  settings = train_settings.TrainSettings(image_size=SIZE)
  export = folder / "E"
  export_lib.save_saved_model(model, settings, export / "saved_model")
  serving.publish(export / "saved_model", export / "serving")
  words = export_lib.labels_json(settings)
  (export / "labels.json").write_text(words, encoding="utf-8")
  small = np.asarray(photo.resize((SIZE, SIZE)))[np.newaxis]
  for kind in tflite_lib.KINDS:
    path = export / tflite_lib.file_name(kind)
    tflite_lib.write(model, kind, SIZE, small, words, path)
  return folder


@pytest.fixture(scope="module")
def user(place, tmp_path_factory):
  """Returns a function that runs a shell script where we are not installed.

  `-S` leaves out the .pth files, by which an editable install is found.
  """
  programs = tmp_path_factory.mktemp("bin")
  python = programs / "python"
  python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
  python.chmod(0o755)
  environment = drawn.environment() | {
    "PATH": os.pathsep.join(
      [str(programs), sysconfig.get_path("scripts"), os.environ["PATH"]]
    ),
    "PYTHONPATH": sysconfig.get_path("purelib"),
    "no_proxy": "localhost,127.0.0.1",
  }

  def run(script):
    return subprocess.run(
      ["bash", "-euo", "pipefail", "-c", script],
      capture_output=True,
      encoding="utf-8",
      cwd=place,
      env=environment,
    )

  return run


@pytest.fixture(scope="module")
def signatures(place):
  loaded = tf.saved_model.load(str(place / "E/saved_model"))
  found = {name: loaded.signatures[name] for name in loaded.signatures}
  found["photos"].keep = loaded
  return found


def call(signature, value, dtype=None):
  outputs = signature(tf.constant(value, dtype))
  return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.fixture(scope="module")
def expected(place, signatures):
  """What `photos` says to a.jpg and b.jpg."""
  contents = [(place / name).read_bytes() for name in ("a.jpg", "b.jpg")]
  answer = call(signatures["photos"], contents)
  assert answer["found"].tolist() == [True, False]
  return answer


def command(heading):
  """Returns the shell script below a heading of the README."""
  # Of its own section: no line between them is another heading.
  pattern = (
    rf"^#+ {re.escape(heading)}\n(?:(?!#|```).*\n)*```sh\n((?:(?!```).*\n)*)"
  )
  found = re.search(pattern, README, re.MULTILINE)
  assert found, heading
  return found[1]


def test_each_python_example_is_short():
  examples = sorted(EXAMPLES.glob("*.py"))
  assert [path.name for path in examples] == [
    "answer_with_litert.py",
    "answer_with_tensorflow.py",
    "serving_request.py",
  ]
  for path in examples:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path.name


def test_the_users_python_has_not_got_us(user):
  run = user("cd examples && python -c 'import numpy, yourface_tfds'")
  assert "No module named 'yourface_tfds'" in run.stderr


def test_tensorflow_says_sentences_classes_and_errors(user, expected):
  run = user(command("TensorFlow in Python"))
  assert run.returncode == 1, run.stderr[-2000:]  # b.jpg has no answer.
  likeliest = []
  for head, vocabulary in labels.HEADS.items():
    best = expected[head][0].argmax()
    likeliest.append(
      f"{head} {vocabulary.names[best]} ({vocabulary.korean[best]}) "
      f"{expected[head][0][best]:.1%}"
    )
  assert run.stdout.splitlines() == [
    f"a.jpg: {expected['sentence_ko'][0].decode()}",
    f"  {expected['sentence_en'][0].decode()}",
    f"  {', '.join(likeliest)}",
    f"b.jpg: error: {expected['error'][1].decode()}",
  ]
  assert run.stdout.startswith("a.jpg: 당신은 ")


def test_tensorflow_needs_the_saved_model_alone(user, expected):
  run = user(
    "mkdir alone && cp -r E/saved_model alone/m && "
    "python examples/answer_with_tensorflow.py alone/m a.jpg"
  )
  assert run.returncode == 0, run.stderr[-2000:]
  lines = run.stdout.splitlines()
  assert lines[0] == f"a.jpg: {expected['sentence_ko'][0].decode()}"
  assert [line.split()[0] for line in lines[2].split(", ")] == [*labels.HEADS]


@pytest.mark.parametrize("kind", tflite_lib.KINDS)
def test_litert_answers_with_every_file(user, place, kind):
  script = command("LiteRT in Python").replace("int8", kind)
  assert kind in script
  run = user(script)
  assert run.returncode == 0, run.stderr[-2000:]
  path = place / "E" / tflite_lib.file_name(kind)
  runner = interpreter.Interpreter(str(path)).get_signature_runner(
    export_lib.SIGNATURE
  )
  with Image.open(place / "face.png") as face:
    assert face.size == (320, 300)  # Has a middle to be found.
    pixels = np.asarray(ImageOps.fit(face, (SIZE, SIZE)))[np.newaxis]
  dtype = np.uint8 if kind == "int8" else np.float32
  answer = runner(faces=pixels.astype(dtype))
  best = {head: int(answer[head].argmax()) for head in labels.HEADS}
  assert run.stdout.splitlines() == [
    f"face.png: {labels.sentence_ko(**best)}",
    f"face.png: {labels.sentence_en(**best)}",
    *(
      f"  {head}: "
      + ", ".join(
        f"{name} {probability:.3f}"
        for name, probability in zip(
          vocabulary.names, answer[head][0], strict=True
        )
      )
      for head, vocabulary in labels.HEADS.items()
    ),
  ]


def test_litert_goes_on_after_what_is_no_image(user):
  run = user(command("LiteRT in Python").strip() + " b.jpg none face.png")
  assert run.returncode == 1
  lines = [line for line in run.stdout.splitlines() if line[0] != " "]
  assert [line.split(" ")[0] for line in lines] == [
    *("face.png:", "face.png:", "b.jpg:", "none:", "face.png:", "face.png:")
  ]
  assert lines[2].startswith("b.jpg: error: cannot identify")
  assert lines[3].startswith("none: error: [Errno 2] No such file")


def test_litert_needs_no_tensorflow(user):
  run = user(
    command("LiteRT in Python").replace("python ", "python -X importtime ")
  )
  assert "ai_edge_litert.interpreter" in run.stderr
  assert not re.search(r"\| +tensorflow$", run.stderr, re.MULTILINE)


# The rules of https://www.tensorflow.org/tfx/serving/api_rest


def is_bytes(value):
  return isinstance(value, dict) and list(value) == ["b64"]


def value_of(value):
  """Returns nested lists, of bytes or numbers."""
  if isinstance(value, list):
    return [value_of(item) for item in value]
  if is_bytes(value):
    return base64.b64decode(value["b64"], validate=True)
  if isinstance(value, dict):
    raise ValueError(f"an object that is not binary: {list(value)}")
  return value


def request_value(request, name):
  """Returns the value of a signature's only input, and the request's form."""
  if ("instances" in request) == ("inputs" in request):
    raise ValueError("wants one of instances and inputs")
  if "inputs" in request:
    value = request["inputs"]
    named = isinstance(value, dict) and not is_bytes(value)
    return value_of(value[name] if named else value), "inputs"
  rows = request["instances"]
  if not isinstance(rows, list) or not rows:
    raise ValueError("instances must be a list with values")
  if isinstance(rows[0], dict) and not is_bytes(rows[0]):
    rows = [row[name] for row in rows]
  return value_of(rows), "instances"


def json_of(name, value):
  """Returns an output as JSON has it."""
  if isinstance(value, list):
    return [json_of(name, item) for item in value]
  if isinstance(value, bytes):
    if name.endswith("_bytes"):
      return {"b64": base64.b64encode(value).decode()}
    return value.decode()
  return value


def predict(signatures, body):
  """Returns the response to a request, both JSON."""
  request = json.loads(body)
  signature = signatures[request.get("signature_name", "serving_default")]
  ((name, spec),) = signature.structured_input_signature[1].items()
  value, form = request_value(request, name)
  tensor = tf.constant(value, spec.dtype)
  if not spec.shape.is_compatible_with(tensor.shape):
    raise ValueError(f"got shape {tensor.shape}, allowed: {spec.shape}")
  outputs = {
    name: json_of(name, np.asarray(output).tolist())
    for name, output in signature(**{name: tensor}).items()
  }
  if form == "inputs":
    return {"outputs": outputs}
  rows = [
    dict(zip(outputs, row, strict=True))
    for row in zip(*outputs.values(), strict=True)
  ]
  return {"predictions": rows}


@pytest.fixture(scope="module")
def address(signatures):
  """Where a server answers that knows those rules and our model."""

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      body = self.rfile.read(int(self.headers["Content-Length"]))
      status, response = 200, {}
      try:
        if self.path != f"/v1/models/{serving.MODEL_NAME}:predict":
          raise KeyError(self.path)
        response = predict(signatures, body)
      except (KeyError, TypeError, ValueError) as error:
        status = 404 if isinstance(error, KeyError) else 400
        response = {"error": str(error)}
      content = json.dumps(response, ensure_ascii=False).encode()
      self.send_response(status)
      self.send_header("Content-Type", "application/json")
      self.send_header("Content-Length", str(len(content)))
      self.end_headers()
      self.wfile.write(content)

    def log_message(self, *_):
      pass

  with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def serving_command(heading, address):
  script = command(heading)
  assert ADDRESS in script
  return script.replace(ADDRESS, address)


def test_serving_script_prints_a_request_for_photos(user, signatures, expected):
  run = user("python examples/serving_request.py a.jpg b.jpg")
  assert run.returncode == 0, run.stderr
  first, second = predict(signatures, run.stdout)["predictions"]
  assert first["sentence_ko"] == expected["sentence_ko"][0].decode()
  assert first["box"] == expected["box"][0].tolist()
  assert second["error"] == expected["error"][1].decode()


def test_serving_script_sends_it(user, address, expected):
  run = user(serving_command("Photos with the script", address))
  assert run.returncode == 1, run.stderr  # b.jpg has no answer.
  assert run.stdout.splitlines() == [
    f"a.jpg: {expected['sentence_ko'][0].decode()}",
    f"  {expected['sentence_en'][0].decode()}",
    f"b.jpg: error: {expected['error'][1].decode()}",
  ]


def test_serving_script_needs_only_python(user):
  run = user("python -I examples/serving_request.py a.jpg")
  assert run.returncode == 0, run.stderr
  run = user("python -I -c 'import numpy'")  # Indeed it has no packages.
  assert "No module named 'numpy'" in run.stderr


def test_serving_script_says_what_went_wrong(user, address):
  script = "python examples/serving_request.py a.jpg --url"
  run = user(f"{script} {address}/other/")
  path = f"/v1/models/{serving.MODEL_NAME}:predict"
  assert run.returncode == 1
  assert run.stderr.startswith(f"error: {address}/other{path}: 404: {{")
  run = user(f"{script} http://127.0.0.1:1")
  assert run.returncode == 1
  assert run.stderr.startswith(f"error: http://127.0.0.1:1{path}: [Errno")
  assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
  "script", ["answer_with_tensorflow.py E/saved_model", "serving_request.py"]
)
def test_a_missing_photo_is_one_line(user, script):
  # TensorFlow has nothing to do with it, and takes seconds to start.
  code = (
    "import runpy, sys; sys.modules['tensorflow'] = sys; "
    f"sys.argv = '{script} a.jpg none'.split(); "
    "runpy.run_path('examples/' + sys.argv[0], run_name='__main__')"
  )
  run = user(f'python -c "{code}"')
  assert run.returncode == 2
  assert run.stderr.splitlines()[-1].endswith(
    "error: [Errno 2] No such file or directory: 'none'"
  )
  assert "Traceback" not in run.stderr


needs_curl = pytest.mark.skipif(
  not shutil.which("curl"), reason="curl is not installed"
)


@needs_curl
def test_serving_photos_with_curl(user, address, expected):
  run = user(serving_command("Photos with curl", address))
  assert run.returncode == 0, run.stderr
  (answer,) = json.loads(run.stdout)["predictions"]
  assert answer["sentence_ko"] == expected["sentence_ko"][0].decode()


@needs_curl
def test_serving_faces_with_curl(user, address, place, signatures):
  run = user(serving_command("Faces with curl", address))
  assert run.returncode == 0, run.stderr
  (answer,) = json.loads(run.stdout)["predictions"]
  with Image.open(place / "face.png") as face:
    pixels = np.asarray(face.resize((SIZE, SIZE)))[np.newaxis]
  right = call(signatures["serving_default"], pixels)
  assert set(answer) == set(labels.HEADS)
  for head in labels.HEADS:
    np.testing.assert_allclose(answer[head], right[head][0], atol=1e-6)


@needs_curl
def test_serving_every_face_with_curl(user, address, expected):
  run = user(serving_command("Every face of a photo with curl", address))
  assert run.returncode == 0, run.stderr
  answer = json.loads(run.stdout)["outputs"]
  assert answer["error"] == ""
  assert np.shape(answer["crop"]) == (expected["faces"][0], SIZE, SIZE, 3)
  assert answer["sentence_ko"][0] == expected["sentence_ko"][0].decode()


def test_serving_every_face_does_not_fit_the_row_form(signatures, place):
  photo = base64.b64encode((place / "a.jpg").read_bytes()).decode()
  request = {"signature_name": "all_faces", "instances": [{"b64": photo}]}
  with pytest.raises(ValueError, match=r"got shape \(1,\), allowed: \(\)"):
    predict(signatures, json.dumps(request))


def test_no_output_is_binary_for_the_server(signatures):
  for signature in signatures.values():
    for name in signature.structured_outputs:
      assert not name.endswith("_bytes")


def test_the_docker_command_names_our_folder(place):
  (folder, model) = re.findall(
    r'-v "\$PWD/(\S+):/models/(\S+)"', command("TensorFlow Serving")
  )[0]
  assert model == serving.MODEL_NAME
  assert f"MODEL_NAME={model} " in command("TensorFlow Serving")
  assert (place / folder / "1" / "saved_model.pb").is_file()


def test_warm_up_requests_fit_the_signatures(place, signatures):
  path = place / "E/serving/your_face/1/assets.extra/tf_serving_warmup_requests"
  logs: Any = prediction_log_pb2  # Its classes appear at run time.
  seen = []
  for record in tf.data.TFRecordDataset(str(path)):
    log = logs.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    assert request.model_spec.name == serving.MODEL_NAME
    signature = signatures[request.model_spec.signature_name]
    ((name, proto),) = request.inputs.items()
    answer = signature(**{name: tf.constant(tf.make_ndarray(proto))})
    if "error" in answer:
      assert not tf.strings.length(answer["error"]).numpy().any()
    assert answer["gender"].shape == (1, 2)
    seen.append(request.model_spec.signature_name)
  assert sorted(seen) == sorted(signatures)


# Other than tf.saved_model.load, what follows takes the variables by the names
# of the graph, as TensorFlow Serving does.


def test_saved_model_cli_answers_a_photo(user, expected):
  run = user(command("A photo"))
  assert run.returncode == 0, run.stderr[-2000:]
  sentence = run.stdout.splitlines()[-1]
  assert sentence == expected["sentence_ko"][0].decode()


@pytest.mark.slow
def test_saved_model_cli_answers_a_face(user, place, signatures):
  run = user(command("A face"))
  assert run.returncode == 0, run.stderr[-2000:]
  with Image.open(place / "face.png") as face:
    pixels = np.asarray(face.resize((SIZE, SIZE)))[np.newaxis]
  right = call(signatures["serving_default"], pixels)
  for head in labels.HEADS:
    _, _, said = run.stdout.partition(f"Result for output key {head}:\n")
    numbers = said[: said.index("]")].strip("[").split()
    np.testing.assert_allclose(
      [float(number) for number in numbers], right[head][0], atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
@pytest.mark.skipif(
  not pathlib.Path(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2").exists(),
  reason="this TensorFlow comes without its C library",
)
def test_c_answers_photos(user, expected):
  warnings = "gcc -Wall -Wextra -Werror "
  run = user(command("C").replace("gcc ", warnings))
  assert run.returncode == 0, run.stderr[-2000:]
  assert run.stdout.splitlines() == [
    f"a.jpg: {expected['sentence_ko'][0].decode()}",
    f"b.jpg: {expected['error'][1].decode()}",
  ]
  run = user("./answer_with_c E a.jpg")
  assert run.returncode == 1
  assert "error: E: Could not find SavedModel" in run.stderr
