// The buttons below a card that is live: what its lines of code do, by a click.
// Python sets `code`, `canCancel`, `isCancelling` and `hasForm`; a click sends {act: "edit"} or
// {act: "cancel"}. Copying needs no kernel.

/**
 * @typedef {{
 *   get: (name: string) => any,
 *   on: (name: string, call: () => void) => void,
 *   off: (name: string, call: () => void) => void,
 *   send: (content: object) => void,
 * }} Model
 */

/** @param {string} text */
async function copy(text) {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  // on plain http, as many hubs are, a page may copy only what is selected in it
  const copied = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(copied);
  copied.select();
  document.execCommand("copy");
  return copied.remove();
}

/** @param {{ model: Model, el: HTMLElement }} given */
function render({ model, el }) {
  el.classList.add("mytracker-buttons");
  /** @param {(button: HTMLButtonElement) => unknown} act */
  const add = (act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "jupyter-widgets jupyter-button widget-button";
    button.addEventListener("click", () => act(button));
    el.append(button);
    return button;
  };
  const edit = add(() => model.send({ act: "edit" }));
  const cancel = add(() => model.send({ act: "cancel" }));
  const copier = add(async (button) => {
    await copy(model.get("code"));
    button.textContent = "copied";
    setTimeout(draw, 1500);
  });
  function draw() {
    edit.textContent = model.get("hasForm") ? "close the form" : "edit in form";
    edit.hidden = !model.get("canEdit");
    cancel.textContent = model.get("isCancelling") ? "cancelling" : "cancel";
    cancel.disabled = model.get("isCancelling");
    cancel.title = "Ask the service to cancel the export";
    cancel.hidden = !model.get("canCancel");
    copier.textContent = "copy";
    copier.title = `Copy ${model.get("code")}`;
    copier.hidden = !model.get("code");
  }
  const names = ["canEdit", "canCancel", "isCancelling", "hasForm", "code"];
  names.forEach((name) => model.on(`change:${name}`, draw));
  draw();
  return () => names.forEach((name) => model.off(`change:${name}`, draw));
}

export default { render };
