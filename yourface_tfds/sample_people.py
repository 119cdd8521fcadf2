"""The drawn people: who they are, what they look like, what they are called.

  person = sample_people.make_person(seed=1, index=7)
  person.name        -> "사람_007"
  person.face_type   -> an index into labels.HEADS["face_type"].names

Person `index` of a `seed` is the same whatever the number of people asked for.
The looks come from one random stream and the labels from another rule, so that
no trait of a person tells a label.
"""

import dataclasses

import numpy as np

from yourface_tfds import labels

Color = tuple[int, int, int]
"""Red, green, blue; 0..255."""

_PERSON_STREAM = 0
_PHOTO_STREAM = 1
_LABEL_STREAM = 2

# Fair to dark; a person's skin lies between two neighbours.
_SKINS = (
  (226, 202, 184),
  (218, 186, 156),
  (204, 164, 129),
  (182, 136, 101),
  (154, 110, 80),
)
_HAIRS = (
  (32, 26, 24),
  (62, 42, 30),
  (106, 70, 42),
  (150, 104, 58),
  (206, 168, 104),
  (150, 60, 34),
  (128, 124, 122),
  (74, 52, 92),
)
_IRISES = ((70, 46, 30), (104, 70, 36), (86, 112, 138), (84, 110, 72))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
  """One drawn person: three labels and a fixed identity.

  Lengths are in face units: the face is about 1.8 wide and 2.6 high.

  Attributes:
    index: number of the person, 0 or more.
    name: name of the folder; tells no label.
    gender: index into `labels.HEADS["gender"].names`.
    job: index into `labels.HEADS["job"].names`.
    face_type: index into `labels.HEADS["face_type"].names`.
    skin: colour of the skin.
    hair: colour of hair, brows and beard.
    iris: own eye colour, mixed with that of the face type.
    cloth: colour of the clothes.
    accent: colour of bow tie, glasses and microphone grip.
    face_width: half the width of the face, .86 to .96.
    jaw: how square the chin is, 0 to 1.
    eye_gap: half the distance of the eyes, .36 to .40.
    eye_size: factor on the size of the eyes, .9 to 1.1.
    brow: thickness of the brows, 0 to 1.
    nose_width: factor on the width of the nose, .85 to 1.15.
    nose_length: y of the tip of the nose, .32 to .40.
    mouth_width: half the width of the mouth, .28 to .36.
    hair_volume: how far the hair stands off the head, 0 to 1.
    hair_part: where the parting is, -1 (image left) to 1.
    glasses: whether the person wears glasses.
    mole: x and y of a mole on the cheek.
    cue: six numbers, -1 to 1, by which this person's face type differs from
      that of others.
  """

  index: int
  name: str
  gender: int
  job: int
  face_type: int
  skin: Color
  hair: Color
  iris: Color
  cloth: Color
  accent: Color
  face_width: float
  jaw: float
  eye_gap: float
  eye_size: float
  brow: float
  nose_width: float
  nose_length: float
  mouth_width: float
  hair_volume: float
  hair_part: float
  glasses: bool
  mole: tuple[float, float]
  cue: tuple[float, ...]


def mix(first: Color, second: Color, share: float) -> Color:
  """Returns `first` with `share` (0..1) of `second` in it."""
  red, green, blue = (
    round(a + (b - a) * share) for a, b in zip(first, second, strict=True)
  )
  return red, green, blue


def photo_rng(seed: int, person: int, photo: int) -> np.random.Generator:
  """Returns the random stream of one photo, whatever the totals asked for."""
  return np.random.default_rng([seed, _PHOTO_STREAM, person, photo])


def person_name(index: int) -> str:
  """Returns the folder name of a person.

  Web folders have spaces and other scripts in their names, so every seventh is
  Korean ("사람_007", from person_000 on) and every tenth after the fourth has a
  space ("person 004").
  """
  if index % 7 == 0:
    return f"사람_{index:03d}"
  if index % 10 == 4:
    return f"person {index:03d}"
  return f"person_{index:03d}"


def make_labels(seed: int, index: int) -> tuple[int, int, int]:
  """Returns gender, job and face type of a person, as class indices.

  Within 11 people every face type comes once, within 22 with both genders and
  both jobs, within 44 every combination of the three exactly once.
  """
  types = len(labels.HEADS["face_type"].names)
  cycle, place = divmod(index, 4 * types)
  turn, slot = divmod(place, types)
  rng = np.random.default_rng([seed, _LABEL_STREAM, cycle])
  order = rng.permutation(types)
  flip_gender, flip_job = rng.integers(2, size=2)
  # Neighbouring slots alternate in gender, pairs of slots in job; the second
  # turn has both flipped, the third and fourth have the job flipped again.
  gender = (slot + turn + flip_gender) % 2
  job = (slot // 2 + turn + turn // 2 + flip_job) % 2
  return int(gender), int(job), int(order[slot])


def make_person(seed: int, index: int) -> Person:
  """Returns person `index` of a `seed`.

  Raises:
    ValueError: `seed` or `index` is negative.
  """
  if seed < 0 or index < 0:
    raise ValueError(
      f"got seed {seed} and person {index}, allowed: 0 or more; give others"
    )
  gender, job, face_type = make_labels(seed, index)
  rng = np.random.default_rng([seed, _PERSON_STREAM, index])
  tone = rng.uniform(0, len(_SKINS) - 1.001)
  skin = mix(_SKINS[int(tone)], _SKINS[int(tone) + 1], tone % 1)
  hair = mix(
    _HAIRS[rng.integers(len(_HAIRS))],
    _HAIRS[rng.integers(len(_HAIRS))],
    rng.uniform(0, 0.3),
  )
  cloth, accent = (_any_color(rng) for _ in range(2))
  return Person(
    index=index,
    name=person_name(index),
    gender=gender,
    job=job,
    face_type=face_type,
    skin=skin,
    hair=hair,
    iris=_IRISES[rng.integers(len(_IRISES))],
    cloth=cloth,
    accent=accent,
    face_width=rng.uniform(0.86, 0.96),
    jaw=rng.uniform(),
    eye_gap=rng.uniform(0.36, 0.40),
    eye_size=rng.uniform(0.9, 1.1),
    brow=rng.uniform(),
    nose_width=rng.uniform(0.85, 1.15),
    nose_length=rng.uniform(0.32, 0.40),
    mouth_width=rng.uniform(0.28, 0.36),
    hair_volume=rng.uniform(),
    hair_part=rng.uniform(-1, 1),
    glasses=bool(rng.uniform() < 0.25),
    mole=(rng.choice([-1, 1]) * rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.6)),
    cue=tuple(rng.uniform(-1, 1, size=6).tolist()),
  )


def _any_color(rng: np.random.Generator) -> Color:
  red, green, blue = rng.integers(30, 226, size=3).tolist()
  return red, green, blue
