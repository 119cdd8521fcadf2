"""How each face type changes the features of a human face.

sample_looks.LOOKS[person.face_type].eye_tilt
sample_looks.name_of(person)  -> "cat"
"""

import dataclasses

from yourface_tfds import labels
from yourface_tfds.sample_people import Color, Person

MOUTH_Y = 0.78
"""Where the mouth is, in face units."""
WOMAN = 1
"""Class index of women."""
SINGER = 1
"""Class index of singers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
  """Measures and colours by which a face type changes a human face.

  Attributes:
    tint: colour mixed into the skin.
    tint_share: how much of it, 0 to 1.
    fur: colour of the animal's ears and patches.
    width: factor on the width of the face.
    jaw: added to how square the chin is.
    eye_tilt: degrees by which the outer corner of the eye is raised.
    eye_width: factor.
    eye_height: factor.
    eye_gap: factor on the distance of the eyes.
    iris: colour mixed into the person's own.
    iris_share: how much of it, 0 to 1.
    iris_size: factor.
    pupil: "round", "slit" or "bar".
    white: colour of the eye around the iris; None for white.
    mouth_width: factor.
  """

  tint: Color = (255, 255, 255)
  tint_share: float = 0.0
  fur: Color = (120, 80, 50)
  width: float = 1.0
  jaw: float = 0.0
  eye_tilt: float = 0.0
  eye_width: float = 1.0
  eye_height: float = 1.0
  eye_gap: float = 1.0
  iris: Color = (70, 46, 30)
  iris_share: float = 0.0
  iris_size: float = 1.0
  pupil: str = "round"
  white: Color | None = None
  mouth_width: float = 1.0


_LOOKS = {
  "dog": Look(fur=(112, 70, 40), eye_tilt=-14, eye_height=1.25, iris_size=1.15,
              iris=(60, 36, 20), iris_share=0.8),
  "cat": Look(fur=(96, 92, 96), eye_tilt=16, eye_height=1.3, eye_width=1.1,
              iris=(120, 190, 60), iris_share=0.85, iris_size=1.25,
              pupil="slit", mouth_width=0.8),
  "rabbit": Look(fur=(236, 228, 224), eye_height=1.35, iris=(150, 40, 60),
                 iris_share=0.6, iris_size=1.2, mouth_width=0.85),
  "fox": Look(tint=(236, 120, 30), tint_share=0.36, fur=(224, 104, 24),
              width=0.95, jaw=-0.35, eye_tilt=22, eye_height=0.8,
              iris=(226, 150, 20), iris_share=0.8, mouth_width=0.85),
  "dinosaur": Look(tint=(100, 130, 190), tint_share=0.26, fur=(52, 84, 140),
                   jaw=0.4, eye_height=0.95, iris=(230, 90, 20),
                   iris_share=0.9, mouth_width=1.3),
  "frog": Look(tint=(126, 204, 70), tint_share=0.29, fur=(80, 170, 50),
               width=1.06, jaw=0.3, eye_height=1.4, eye_width=1.15,
               eye_gap=1.04, iris=(160, 116, 24), iris_share=0.9,
               iris_size=1.25, pupil="bar", mouth_width=1.35),
  "snake": Look(tint=(176, 170, 60), tint_share=0.36, fur=(96, 100, 30),
                width=0.97, jaw=-0.1, eye_tilt=12, eye_height=0.95,
                iris=(240, 220, 40), iris_share=1.0, iris_size=1.2,
                pupil="slit", white=(240, 224, 120), mouth_width=1.15),
  "turtle": Look(tint=(120, 150, 100), tint_share=0.28, fur=(104, 84, 44),
                 eye_tilt=-8, eye_height=0.8, iris=(70, 50, 30),
                 iris_share=0.7, mouth_width=0.9),
  "bear": Look(tint=(150, 100, 60), tint_share=0.24, fur=(92, 56, 32),
               width=1.04, jaw=0.3, eye_width=0.8, iris=(30, 20, 16),
               iris_share=0.9),
  "mouse": Look(fur=(150, 148, 154), width=0.98, jaw=-0.25, eye_width=0.85,
                eye_height=1.2, iris=(36, 26, 26), iris_share=0.9,
                iris_size=1.1, mouth_width=0.8),
  "tiger": Look(tint=(244, 160, 50), tint_share=0.36, fur=(236, 146, 40),
                width=1.02, eye_tilt=8, iris=(230, 200, 60), iris_share=0.85,
                mouth_width=1.05),
}  # fmt: skip

LOOKS = tuple(
  _LOOKS.get(name, Look()) for name in labels.HEADS["face_type"].names
)
"""One `Look` for each class index; a human one where the type is not known."""


def name_of(person: Person) -> str:
  """Returns the name of a person's face type."""
  return labels.HEADS["face_type"].names[person.face_type]
