// One photo from the camera, as a file.

export class Camera {
  static isThere() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** `take` gets the photo; `fail` is called where there is no camera. */
  constructor({box, video, take, fail}) {
    Object.assign(this, {box, video, take, fail});
  }

  async start() {
    this.stop();
    // Stopped or started again while the question is open: not wanted any more.
    const wanted = (this._wanted = {});
    try {
      const video = {facingMode: "user", width: {ideal: 1280}};
      const stream = await navigator.mediaDevices.getUserMedia({video});
      if (this._wanted !== wanted) return release(stream);
      this.video.srcObject = stream;
      this.box.hidden = false;
      await this.video.play();
      this.box.querySelector("button").focus();
    } catch {
      if (this._wanted !== wanted) return;
      this.stop();
      this.fail();
    }
  }

  async shoot() {
    const {videoWidth: width, videoHeight: height} = this.video;
    if (!width) return;
    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width, height});
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    this.stop();
    this.take(blob);
  }

  stop() {
    this._wanted = null;
    if (this.video.srcObject) release(this.video.srcObject);
    this.video.srcObject = null;
    this.box.hidden = true;
  }
}

function release(stream) {
  stream.getTracks().forEach((track) => track.stop());
}
