// The page: images come in, layers go out, answers are shown.

import { Camera } from "./camera.js";
import { Classes } from "./classes.js";
import { pause } from "./client/time.js";
import { Codec } from "./device/device.js";
import { $, element } from "./dom.js";
import { ImageProblem, opened, sample } from "./images.js";
import { LINKS } from "./link.js";
import { watch } from "./live.js";
import { Plates } from "./plates.js";
import { first, Sending } from "./sending.js";
import { Failure, Server } from "./server.js";
import { Settings } from "./settings.js";
import { listen } from "./sources.js";
import { Things } from "./things.js";
import { sum, summary } from "./view.js";
import { bytes, duration, number, roughly } from "./words.js";

const TOP = 5;

class Page {
  constructor(codec) {
    this._codec = codec;
    this._server = new Server();
    this._camera = new Camera($("video"));
    this._sending = new Sending();
    this._settings = new Settings(this._sending);
    this._job = new AbortController();
    this._tally = { images: 0, ours: 0, jpeg: 0, webp: 0 };
    this._said = "";
  }

  async start() {
    listen({
      files: (files) => this._take(files.map((file) => () => opened(file))),
      sample: (url) => this._take([() => sample(url)]),
      camera: () => this._film(),
    });
    $("reset").addEventListener("click", () => this._count(null));
    await this._connect(new AbortController().signal);
    watch(this._server);
  }

  /** Send what these functions bring, in place of what the camera sees. */
  async _take(sources) {
    this._stopFilming();
    await this._run(sources);
  }

  /** Fetch what is needed of the model, trying until the server is there. */
  async _connect(signal) {
    for (;;)
      try {
        const { card, cardBytes, current } = await this._server.describe();
        [this._card, this._cardBytes, this._current] = [card, cardBytes, current];
        const Task = card.task === "detect" ? Things : Classes;
        [this._task, this._plates] = [new Task(this._codec, current), new Plates(current.profile)];
        this._sending.forget();
        document.body.dataset.task = card.task ?? "classify";
        this._settings.offerPoints(card, current.profile.quality);
        this._state("ready", `${card.name} · ready`);
        return;
      } catch (failure) {
        await this._overcome(failure, signal);
      }
  }

  /** Do what helps against a failure, so that it can be tried again; throws it where nothing does. */
  async _overcome(failure, signal) {
    if (!(failure instanceof Failure) || failure.kind === "refused") throw failure;
    if (failure.kind === "token") return this._askForToken(failure);
    this._state(failure.kind, failure.kind === "busy" ? "Busy" : "Not reachable");
    this._notice(failure.message);
    if (failure.kind === "busy") await pause(1000 * failure.retryAfter, signal);
    if (failure.kind === "away") await this._server.back(signal);
    if (failure.kind === "profile") await this._connect(signal);
    this._state("ready", `${this._card?.name ?? "The server"} · ready`);
    this._notice("");
  }

  async _askForToken(failure) {
    this._state("away", "Asks for a token");
    $("ask-text").classList.toggle("wrong", this._asked === true);
    if (this._asked) $("ask-text").textContent = failure.message;
    this._asked = true;
    $("ask").showModal();
    await new Promise((resolve) => $("ask").addEventListener("close", resolve, { once: true }));
    this._server.use($("token").value.trim());
  }

  /** Send what these functions bring, one after the other; whatever was in progress is given up. */
  async _run(sources) {
    this._job.abort();
    const { signal } = (this._job = new AbortController());
    for (const source of sources) {
      try {
        this._notice("");
        const rgba = await source();
        signal.throwIfAborted();
        await this._send(rgba, signal);
      } catch (problem) {
        if (signal.aborted) return;
        this._notice(sentence(problem));
      }
    }
  }

  async _send(rgba, signal) {
    if (!this._current) throw new ImageProblem("The server has not said yet what it wants; try again when it is ready.");
    const begun = performance.now();
    const others = this._task.rivals(rgba);
    for (;;)
      try {
        const coded = await this._code(rgba, signal);
        const options = { point: this._point.name, top: TOP, link: this._link, signal };
        const told = this._telling(coded, await others, options);
        const answer = await this._server.answer(coded.conversation, options, told);
        signal.throwIfAborted();
        this._finish(answer, coded, await others, (performance.now() - begun) / 1000);
        return;
      } catch (failure) {
        signal.throwIfAborted();
        await this._overcome(failure, signal);
      }
  }

  get _link() {
    return this._settings.link;
  }

  get _point() {
    return this._settings.point;
  }

  get _view() {
    return this._task.view;
  }

  /** The image as it is sent, and what the server will see of it. */
  async _code(rgba, signal) {
    const layers = this._sending.layersAtFirst(this._current.profile);
    await this._server.fetchTables(this._current, layers, signal);
    const coded = { ...this._task.code(rgba, layers), arrived: 0, sent: 0, requests: 0 };
    Object.assign(coded, this._sending.conversation(coded.upload, this._link));
    this._view.begin(coded, this._point);
    this._view.why(coded.why);
    if (!this._camera.running) this._begin(coded);
    this._task.begin(coded, this._camera.running);
    coded.pictures.forEach((picture, layer) => this._plates.show(layer, "", "", picture));
    return coded;
  }

  _begin({ conversation: { together }, upload: { count } }) {
    const what = first(together, count).replace(/^./, (letter) => letter.toLowerCase());
    this._view.headline(`Sending ${what}${this._link === LINKS.none ? "" : ` over ${this._link.name}`}`, "…");
    this._view.sum([]);
    if ($("frames").getBoundingClientRect().bottom > innerHeight) $("result").scrollIntoView({ block: "center" });
  }

  /** What is shown while layers leave and the server asks for more. */
  _telling(coded, others, options) {
    const view = this._view;
    const { upload } = coded;
    return {
      sending: ([known, wanted], done) => {
        const { sizes } = upload;
        coded.sent = wanted;
        const gone = Math.min(done, sum(sizes.slice(known, wanted))); // the body has the size of each payload, too
        let left = gone;
        for (let layer = known; layer < wanted; layer++) {
          view.layer(layer, "sending", `${number(Math.min(left, sizes[layer]))} of ${bytes(sizes[layer])}`);
          this._plates.show(layer, "sending", bytes(sizes[layer]));
          left = Math.max(0, left - sizes[layer]);
        }
        view.bytes([...sizes.slice(0, known), gone], others, this._link, 1 + coded.requests);
      },
      fetching: (known) => {
        if (!this._camera.running) view.headline(`After layer ${known}: the server asks for more, and the tables for that come first`, "…");
      },
      asked: (soFar, known) => {
        this._arrived(known, coded);
        const look = this._camera.running ? null : () => this._server.look(upload, known, options);
        const title = this._task.asked(coded, known, soFar, this._point, look);
        coded.pictures.slice(known).forEach((picture, i) => this._plates.show(known + i, "", "", picture));
        if (!this._camera.running) view.headline(`After layer ${known}: not sure enough, the server asks for more`, title);
      },
    };
  }

  /** Layers up to this number were judged; the server was not sure before the last of them. */
  _arrived(layers, coded) {
    const { sizes } = coded.upload;
    coded.requests++;
    for (; coded.arrived < layers; coded.arrived++) {
      const layer = coded.arrived;
      this._view.layer(layer, "known", bytes(sizes[layer]));
      this._plates.show(layer, "sent", bytes(sizes[layer]));
      if (layer < layers - 1) this._view.remark(layer, layer < coded.conversation.together ? "not sure enough; the next one was there" : "asked for with the next one");
    }
  }

  _finish(answer, coded, others, elapsed) {
    const { upload } = coded;
    const { layers } = answer;
    const view = this._view;
    this._arrived(layers, coded);
    view.layer(layers - 1, "final", bytes(upload.sizes[layers - 1]));
    // A server that is too busy may answer without layers that it has asked for.
    const idle = answer.stage === "brownout" ? "not used" : "not needed";
    for (let layer = layers; layer < upload.count; layer++) {
      const amount = layer < coded.sent ? `${bytes(upload.sizes[layer])}, ${idle}` : idle;
      view.layer(layer, "spared", amount);
      this._plates.show(layer, "spared", amount);
    }
    this._task.finish(coded, answer, this._point);
    const network = answer.stage === "brownout" ? "the server was too busy for more" : `by the ${answer.stage} network`;
    view.headline(`${this._task.sureness(answer)} layer ${layers} of ${upload.count}, ${network}`, this._task.title(answer));
    const sizes = upload.sizes.slice(0, coded.sent);
    view.bytes(sizes, others, this._link, coded.requests);
    view.sum(summary(sizes, answer, upload.count, elapsed, others.jpeg));
    this._count({ ours: sum(sizes), ...others });
    this._say(answer, sum(sizes), elapsed);
  }

  /** Tell a screen reader; of a camera only what is new. */
  _say(answer, total, elapsed) {
    const title = this._task.title(answer);
    if (this._camera.running && this._said === title) return;
    this._said = title;
    $("said").textContent = `${this._task.said(answer)}, after layer ${answer.layers}, ${total} bytes, ${duration(elapsed)}.`;
  }

  _count(image) {
    const tally = this._tally;
    if (image === null) this._tally = { images: 0, ours: 0, jpeg: 0, webp: 0 };
    else {
      tally.images++;
      for (const name of ["ours", "jpeg", "webp"]) tally[name] += image[name] ?? 0;
    }
    const { images, ours, jpeg, webp } = this._tally;
    $("tally").hidden = !images;
    const strong = element("em", { textContent: roughly(ours) });
    $("tally-text").replaceChildren(`${number(images)} ${images === 1 ? "image" : "images"}, `, strong, `; as JPEG ${roughly(jpeg)}`, webp ? `, as WebP ${roughly(webp)}` : "");
    const model = `${roughly(this._current.bytes)} of tables to code with, as far as they were needed, and ${roughly(this._cardBytes)} of its card`;
    $("tally-note").textContent = `Payloads, at the settings above. What is known of the model came once and is not in there: ${model}.`;
  }

  async _film() {
    if (this._camera.running) return this._stopFilming();
    try {
      await this._camera.start();
    } catch (problem) {
      return this._notice(sentence(problem));
    }
    $("camera").textContent = "Stop the camera";
    $("camera").setAttribute("aria-pressed", "true");
    const begun = performance.now();
    for (let frames = 1; this._camera.running; frames++) {
      await this._run([() => this._camera.frame()]);
      if (!this._camera.running) break;
      $("live-camera")?.remove();
      const rate = (1000 * frames) / (performance.now() - begun);
      $("sum").append(element("span", { id: "live-camera" }, element("br"), `${rate.toFixed(1)} frames a second`));
      await pause(0);
    }
  }

  _stopFilming() {
    if (!this._camera.running) return;
    this._camera.stop();
    this._job.abort();
    $("camera").textContent = "Use the camera";
    $("camera").setAttribute("aria-pressed", "false");
  }

  _notice(text) {
    $("notice").hidden = !text;
    $("notice").textContent = text;
  }

  _state(state, text) {
    $("server").dataset.state = state;
    $("server-text").textContent = text;
  }
}

function sentence(problem) {
  if (problem instanceof ImageProblem || problem instanceof Failure) return problem.message;
  console.error(problem);
  return `Something on this page went wrong: ${problem.message}`;
}

const codec = await Codec.load(await fetch("/page/device/overtone.wasm"));
await new Page(codec).start();
