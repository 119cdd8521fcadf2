// Every word of the page. Those of the model come from its file, those that
// page and Python share (the card's, what it must not be used for) from
// site.json.

export const TEXTS = {
  ko: {
    title: "내 얼굴은 무슨 동물상?",
    lead: "사진 한 장이면 충분해요.\n사진은 이 기기를 떠나지 않아요.",
    language: "언어",
    choose: "사진 고르기",
    camera: "카메라로 찍기",
    drop: "사진을 여기로 끌어 놓거나 붙여 넣어도 돼요.",
    formats: "JPEG, PNG, WebP · 얼굴이 또렷이 보이는 사진이 좋아요.",
    shoot: "찍기",
    cancel: "취소",
    another: "다른 사진 보기",
    loading: "프로그램을 내려받는 중이에요. 처음 한 번만 필요해요.",
    starting: "프로그램을 준비하는 중이에요.",
    looking: "얼굴을 찾는 중이에요…",
    photo: "고른 사진",
    faces: "얼굴이 {n}개 있어요. 볼 얼굴을 고르세요.",
    largest: "얼굴이 {n}개 있어요. 그중 큰 {shown}개에서 볼 얼굴을 고르세요.",
    face: "얼굴 {n}",
    crop: "모델이 본 얼굴",
    bars: "얼마나 확실할까요?",
    download: "카드 내려받기",
    cardName: "내-얼굴-카드.png",
    private: "사진은 어디에도 보내거나 저장하지 않아요. 계산은 모두 이 " +
      "브라우저 안에서 하고, 한 번 열면 인터넷 없이도 돌아가요.",
    about: "알아 두세요",
    fun: "재미로 보는 결과예요. 다음 용도로는 쓰지 마세요.",
    consent: "다른 사람의 사진은 그 사람이 동의했을 때만 보세요.",
    errorNoFace: "얼굴을 찾지 못했어요. 얼굴이 정면으로, 밝고 크게 나온 " +
      "사진으로 다시 해 보세요.",
    errorBadFile: "이 파일은 사진으로 열 수 없어요. JPEG, PNG 또는 WebP " +
      "사진을 골라 주세요. HEIC 사진은 JPEG로 바꾸면 돼요.",
    errorDamaged: "사진 파일이 깨졌거나 끝까지 내려받지 못했어요. 원본을 다시 " +
      "골라 주세요.",
    errorFailed: "이 사진을 보다가 오류가 났어요. 페이지를 새로 고치거나 다른 " +
      "사진으로 해 보세요.",
    errorTooLarge: "사진이 너무 커요. {most}백만 화소, {bytes}MB 이하로 줄여서 " +
      "다시 골라 주세요.",
    errorCamera: "카메라를 쓸 수 없어요. 브라우저에서 카메라를 허용하거나 " +
      "사진 파일을 골라 주세요.",
    errorEngine: "이 브라우저에서는 모델을 실행하지 못했어요. 페이지를 새로 " +
      "고치거나 최신 Chrome, Edge, Firefox, Safari로 열어 주세요.",
    errorCard: "카드를 그리지 못했어요. 다시 한 번 눌러 주세요.",
  },
  en: {
    title: "Which animal is in your face?",
    lead: "One photo is all it takes.\nIt never leaves this device.",
    language: "Language",
    choose: "Choose a photo",
    camera: "Use the camera",
    drop: "You can also drop or paste a photo here.",
    formats: "JPEG, PNG, WebP · a face that is clear to see works best.",
    shoot: "Take the photo",
    cancel: "Cancel",
    another: "Another photo",
    loading: "Downloading the program. This is needed only once.",
    starting: "Getting the program ready.",
    looking: "Looking for faces…",
    photo: "The photo you chose",
    faces: "There are {n} faces. Choose the one to look at.",
    largest: "There are {n} faces. Choose one of the {shown} largest.",
    face: "Face {n}",
    crop: "The face as the model saw it",
    bars: "How sure is it?",
    download: "Download the card",
    cardName: "your-face-card.png",
    private: "The photo is sent nowhere and stored nowhere. Everything is " +
      "computed in this browser; opened once, the page works offline.",
    about: "Good to know",
    fun: "This is for fun. Do not use it for:",
    consent: "Look at photos of others only if they agreed.",
    errorNoFace: "No face was found. Try a photo in which the face looks at " +
      "the camera, bright and large.",
    errorBadFile: "This file cannot be opened as a photo. Choose a JPEG, PNG " +
      "or WebP; save a HEIC photo as JPEG first.",
    errorDamaged: "This photo is damaged or was not downloaded to the end. " +
      "Choose the original file.",
    errorFailed: "Something went wrong with this photo. Reload the page, or " +
      "try another one.",
    errorTooLarge: "This photo is too large. Shrink it to {most} megapixels " +
      "and {bytes} MB at most, and choose it again.",
    errorCamera: "The camera cannot be used. Allow it in the browser, or " +
      "choose a photo file instead.",
    errorEngine: "This browser could not run the model. Reload the page, or " +
      "open it in a current Chrome, Edge, Firefox or Safari.",
    errorCard: "The card could not be drawn. Press the button once more.",
  },
};
