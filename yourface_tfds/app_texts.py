"""Every word of the local page that is not the model's or the card's.

  app_texts.both("choose")             # HTML, both languages
  app_texts.plain("title", "en")       # "Which animal is in your face?"

The page holds both languages at once and shows one of them, so that changing it
asks nobody anything.
"""

import html

from yourface_tfds import card, photos

_TEXTS = {
  "title": ("내 얼굴은 무슨 동물상?", "Which animal is in your face?"),
  "lead": (
    "사진 한 장이면 충분해요. 사진은 이 프로그램이 도는 컴퓨터로만 가요.",
    "One photo is all it takes. It goes only to the computer that runs this "
    "program.",
  ),
  "language": ("언어", "Language"),
  "choose": ("사진 고르기", "Choose a photo"),
  "camera": ("카메라로 찍기", "Use the camera"),
  "drop": (
    "사진을 여기로 끌어 놓거나 붙여 넣어도 돼요.",
    "You can also drop or paste a photo here.",
  ),
  "formats": (
    "JPEG, PNG, WebP, {bytes} MB까지 · 얼굴이 또렷이 보이는 사진이 좋아요.",
    "JPEG, PNG, WebP, up to {bytes} MB · a face that is clear to see works "
    "best.",
  ),
  "shoot": ("찍기", "Take the photo"),
  "cancel": ("취소", "Cancel"),
  "finder": ("카메라에 보이는 모습", "What the camera sees"),
  "looking": ("얼굴을 찾는 중이에요…", "Looking for faces…"),
  "another": ("다른 사진 보기", "Another photo"),
  "photo": (
    "얼굴 {faces}개에 상자를 두른 사진",
    "The photo, with a box around each face: {faces}",
  ),
  "faces": (
    "얼굴이 {faces}개 있어요. 볼 얼굴을 고르세요.",
    "There are {faces} faces. Choose the one to look at.",
  ),
  "largest": (
    "얼굴이 {faces}개 있어요. 그중 큰 {shown}개에서 볼 얼굴을 고르세요.",
    "There are {faces} faces. Choose one of the {shown} largest.",
  ),
  "face": ("얼굴 {number}", "Face {number}"),
  "crop": (
    "똑바로 돌려 잘라 낸 얼굴",
    "The face, turned upright and cut out",
  ),
  "bars": ("얼마나 확실할까요?", "How sure is it?"),
  "card": ("카드", "The card"),
  "card_alt": (
    "얼굴, 동물 그림, 문장과 막대그래프가 있는 카드",
    "A card with the face, the drawing of the animal, the sentence and the "
    "bars",
  ),
  "drawing": ("카드를 그리는 중이에요…", "Drawing the card…"),
  "download": ("카드 내려받기", "Download the card"),
  "private": (
    "사진은 저장하지 않아요. 이 프로그램이 도는 컴퓨터의 메모리에서만 보고 "
    "바로 지우며, 인터넷 없이도 돌아가요.",
    "The photo is never stored. The computer that runs this program looks at "
    "it in memory and forgets it at once; no internet is needed.",
  ),
  "about": ("알아 두세요", "Good to know"),
  "fun": (
    "재미로 보는 결과예요. 다음 용도로는 쓰지 마세요.",
    "This is for fun. Do not use it for:",
  ),
  "consent": (
    "다른 사람의 사진은 그 사람이 동의했을 때만 보세요.",
    "Look at photos of others only if they agreed.",
  ),
  "no_face": (
    "얼굴을 찾지 못했어요. 얼굴이 정면으로, 밝고 크게 나온 사진으로 다시 해 "
    "보세요.",
    "No face was found. Try a photo in which the face looks at the camera, "
    "bright and large.",
  ),
  "not_an_image": (
    "이 파일은 사진이 아니에요. JPEG, PNG 또는 WebP 사진을 골라 주세요. HEIC "
    "사진은 JPEG로 바꾸면 돼요.",
    "This file is not a photo that can be opened. Choose a JPEG, PNG or WebP; "
    "save a HEIC photo as JPEG first.",
  ),
  "unreadable": (
    "사진 파일이 깨졌거나 끝까지 내려받지 못했어요. 원본을 다시 골라 주세요.",
    "This photo is damaged or was not downloaded to the end. Choose the "
    "original file.",
  ),
  "too_large": (
    "사진이 너무 커요. {bytes} MB, {pixels}백만 화소 이하로 줄여서 다시 골라 "
    "주세요.",
    "This photo is too large. Shrink it to {bytes} MB and {pixels} megapixels "
    "at most, and choose it again.",
  ),
  "too_many": (
    "사진이 너무 자주 들어왔어요. {seconds}초 뒤에 다시 골라 주세요.",
    "Too many photos in a short time. Choose it again in {seconds} s.",
  ),
  "failed": (
    "이 사진을 보다가 오류가 났어요. 다른 사진으로 해 보세요.",
    "Something went wrong with this photo. Try another one.",
  ),
  "no_answer": (
    "프로그램이 대답하지 않아요. 아직 켜져 있는지 보고 다시 골라 주세요.",
    "The program does not answer. See that it still runs, and choose the photo "
    "again.",
  ),
  "no_camera": (
    "카메라를 쓸 수 없어요. 브라우저에서 카메라를 허용하거나 사진 파일을 골라 "
    "주세요.",
    "The camera cannot be used. Allow it in the browser, or choose a photo "
    "file instead.",
  ),
}

ERRORS = (
  "no_face",
  "not_an_image",
  "unreadable",
  "too_large",
  "too_many",
  "failed",
)
"""Texts that say why there is no answer; most are the status of a photo."""

MEGAPIXELS = photos.MAX_PIXELS // 1_000_000
"""What `{pixels}` stands for."""


def plain(key: str, language: str, **values: object) -> str:
  """Returns a text in one language.

  Args:
    key: of a text.
    language: "ko" or "en".
    **values: what stands for its {names}.

  Raises:
    KeyError: there is no such text, or a value is missing.
  """
  return _TEXTS[key][card.LANGUAGES.index(language)].format(**values)


def korean() -> str:
  """Returns all Korean texts, for those who need their letters."""
  return "".join(text for text, _ in _TEXTS.values())


def both(key: str, **values: object) -> str:
  """Returns a text as HTML in both languages; the page shows one of them.

  Args:
    key: of a text.
    **values: what stands for its {names}.

  Raises:
    KeyError: there is no such text, or a value is missing.
  """
  return pair(*(plain(key, language, **values) for language in card.LANGUAGES))


def pair(korean: str, english: str, *, swapped: bool = False) -> str:
  """Returns words of any origin as HTML in both languages, escaped.

  Args:
    korean: shown on the Korean page.
    english: shown on the English page.
    swapped: shows each on the page of the other language.
  """
  kind = "o" if swapped else "t"
  return "".join(
    f'<span class="{kind}" lang="{language}">{html.escape(text)}</span>'
    for language, text in zip(card.LANGUAGES, (korean, english), strict=True)
  )
