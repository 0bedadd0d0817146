// Where images come from: files, drops, the clipboard, the samples, the camera's button.

import { $ } from "./dom.js";

/** @param {{files: Function, sample: Function, camera: Function}} take what is called with what comes */
export function listen(take) {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    const files = [...$("file").files];
    $("file").value = ""; // so that the same file can be chosen again
    if (files.length) take.files(files);
  });
  $("camera").addEventListener("click", () => take.camera());
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => take.sample(button.dataset.sample));
    hideIfMissing(button);
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    take.files(files);
  });
  listenForDrops(take.files);
}

/** A server without the distribution `overtone-checkpoints` has no samples. */
function hideIfMissing(button) {
  const image = button.firstElementChild;
  const hide = () => (button.parentElement.hidden = true);
  if (image.complete && !image.naturalWidth) hide();
  else image.addEventListener("error", hide);
}

function listenForDrops(take) {
  let depth = 0; // a drag enters and leaves every element it passes
  const dragging = (change) => {
    depth = change === 0 ? 0 : Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carriesFiles(event) && dragging(1));
  document.addEventListener("dragleave", (event) => carriesFiles(event) && dragging(-1));
  document.addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    dragging(0);
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
}
