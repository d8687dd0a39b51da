// The front end of the request form: it shows the state that Python sends, and sends the user's
// acts to Python.
//
// It has no rule of the service. builder.py describes the protocol. Texts are inserted into the page
// as text; only the card and the rows, which Python escapes, are inserted as HTML.

/**
 * @typedef {[value: string, title: string, group: string, aliases: string[], kind: string,
 *   otherNames?: string[]]} Entry
 * @typedef {{name: string, title: string, label: string, help: string, section: string,
 *   editor: string, dictionary: string, isOrdered: boolean, isAdvanced: boolean, placeholder: string}} Field
 * @typedef {{fields: Field[], dictionaries: Record<string, Entry[]>, presets: string[],
 *   days: string[]}} Schema
 * @typedef {{parameter: string, title: string, severity: string, isMissing: boolean, text: string,
 *   hint: string}} Problem
 * @typedef {{values: Record<string, string | string[]>, filters: string[], offers: string[],
 *   notSent: Record<string, string>, problems: Problem[], code: Record<string, string>,
 *   frame: string, frameProblem: string, words: string, preset: string,
 *   startingSets: Record<string, string[]>, columnsKnown: string,
 *   pending: Record<string, string>,
 *   account: {service: string, isSandbox: boolean}, acks: Record<string, number>,
 *   rewrites: number}} View
 * @typedef {{phase: string, verdict: string, tone: string, canSubmit: boolean, canCancel: boolean,
 *   trouble: string, card: string, preview: string, rows: string, load: string}} Progress
 * @typedef {{seq: number, act: string, args: Record<string, any>}} Act
 * @typedef {{get(name: string): any, send(content: any): void,
 *   on(event: string, callback: () => void): void,
 *   off(event: string, callback: () => void): void,
 *   widget_manager?: {kernel?: {statusChanged?: any, disposed?: any}}}} Model
 * @typedef {{root: HTMLElement, control: HTMLElement, update: () => void, flush?: () => void}}
 *   Editor
 * @typedef {ReturnType<typeof makeStore>} Store
 * @typedef {{store: Store, schema: Schema, say: (text: string) => void, popups: HTMLElement,
 *   signal: AbortSignal}} Form
 */

const TYPING_PAUSE = 60; // ms after which typed text is sent while a response is awaited
const WAITING_SHOWN_AFTER = 400; // ms without a response of the kernel
const COUNTED_FROM = 13; // chips; fewer need no count
const MOST_LINES = 14; // of code, up to which the form grows

let serial = 0;
const newId = () => `mtf-${++serial}`;

/**
 * Create an element; `on...` attributes are listeners, null and false omit an attribute.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * Set an attribute only if it changes: every write notifies the observers of the page.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value
 */
function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A function to call at each change of a text. It calls `act` at once; while Python has not
 * responded yet, after a pause without a change. So the display follows quickly, and fast typing
 * does not send a message for every key.
 * @param {() => boolean} isBusy
 * @param {() => void} act
 * @param {number} [pause]
 */
function paced(isBusy, act, pause = TYPING_PAUSE) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const drop = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const flush = () => {
    if (timer === undefined) return;
    drop();
    act();
  };
  const call = () => {
    const isFirst = timer === undefined && !isBusy();
    drop();
    if (isFirst) act();
    else timer = setTimeout(flush, pause);
  };
  return Object.assign(call, { flush, drop });
}

/** @param {string} text */
async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // pages on plain http, as on many hubs, can't use the clipboard API
  const area = make("textarea", { style: "position: fixed; opacity: 0" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A pasted text that matches is sent to Python, which decides whether it is a request. */
const LOOKS_LIKE_A_REQUEST =
  /^\s*(%%?\w+\s+)?["'`<]?\s*(curl(\.exe)?\s|((GET|POST)\s+)?https?:\/\/|\??[\w.%[\]]+=[^&]*&[\w.%[\]]+=)/i;

// ---------------------------------------------------------------------------------------------
// The state: that of Python, with the acts applied that Python has not acknowledged yet.

/** @param {Model} model */
function makeStore(model) {
  const client = Math.random().toString(36).slice(2);
  let seq = 0;
  /** @type {Act[]} */
  let waiting = [];
  let isGone = false;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  const notify = () => listeners.forEach((listener) => listener());

  /** @param {View} view @param {Act} act @returns {View} */
  function applied(view, { act, args }) {
    const values = { ...view.values };
    let filters = view.filters;
    const list = () => [...(Array.isArray(values[args.name]) ? values[args.name] : [])];
    if (act === "type") values[args.name] = args.text;
    else if (act === "add" && !args.only_exact) {
      const words = args.text.split(/[,\t\r\n]+/).map((/** @type {string} */ word) => word.trim());
      values[args.name] = [...new Set([...list(), ...words.filter(Boolean)])];
    } else if (act === "remove") values[args.name] = list().filter((key) => key !== args.key);
    else if (act === "move") {
      const rest = list().filter((key) => key !== args.key);
      rest.splice(args.to, 0, args.key);
      values[args.name] = rest;
    } else if (act === "addFilter" && !filters.includes(args.name)) {
      filters = [...filters, args.name];
    } else if (act === "removeFilter") {
      filters = filters.filter((name) => name !== args.name);
      delete values[args.name];
    } else if (act === "setFrame") return { ...view, frame: args.name };
    return { ...view, values, filters };
  }

  const onView = () => {
    const done = model.get("_view").acks[client] ?? 0;
    waiting = waiting.filter((act) => act.seq > done);
    isGone = false;
    notify();
  };
  model.on("change:_view", onView);
  model.on("change:_progress", notify);

  function send() {
    try {
      model.send({ client, acts: waiting });
      isGone = false;
    } catch {
      isGone = true; // the acts are sent with the next message that succeeds
    }
  }

  return {
    /** @returns {View} */
    get view() {
      return waiting.reduce(applied, model.get("_view"));
    },
    /** @returns {Progress} */
    get progress() {
      return model.get("_progress");
    },
    get isWaiting() {
      return waiting.length > 0;
    },
    get isGone() {
      return isGone;
    },
    setGone() {
      isGone = true;
      notify();
    },
    /** @param {string} act @param {Record<string, any>} [args] */
    act(act, args = {}) {
      const last = waiting[waiting.length - 1];
      // of text that is being typed, send only the last state
      if (last && last.act === act && ["type", "write", "setFrame"].includes(act)) {
        if (last.args.name === args.name || act !== "type") waiting.pop();
      }
      waiting.push({ seq: ++seq, act, args });
      send();
      notify();
      return seq;
    },
    /** @param {() => void} listener @param {AbortSignal} signal */
    listen(listener, signal) {
      listeners.add(listener);
      signal.addEventListener("abort", () => listeners.delete(listener));
    },
    close() {
      model.off("change:_view", onView);
      model.off("change:_progress", notify);
    },
  };
}

// ---------------------------------------------------------------------------------------------
// A text input with a list, by the combobox pattern of the WAI-ARIA guide: the focus stays in the
// input. The list is in the browser's top layer, so that the output area of a cell does not clip it.

/**
 * @param {Form} form
 * @param {HTMLInputElement} input
 * @param {{label: string, entries: () => Entry[], pick: (entry: Entry) => void,
 *   free?: (text: string) => void, taken?: () => Set<string>, staysOpen?: boolean,
 *   least?: number, wraps?: boolean}} options `least` is the minimum width of the list in pixels;
 *   `wraps` lets the description of an entry take several lines
 */
function combobox(form, input, { label, entries, pick, free, taken, staysOpen = false,
  least = 300, wraps = false }) {
  const list = make("div", {
    id: newId(), role: "listbox", class: `mtf-list${wraps ? " mtf-wrap" : ""}`, popover: "manual", "aria-label": label,
  });
  form.popups.append(list);
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false",
    "aria-controls": list.id, autocomplete: "off", spellcheck: "false",
  })) input.setAttribute(name, value);

  /** @type {{element: HTMLElement, entry: Entry}[]} */
  let shown = [];
  let marked = -1;
  let isFresh = true; // the text is the value, not a search
  let opensOnFocus = true;
  const isOpen = () => list.matches(":popover-open");

  function place() {
    const anchor = (input.closest(".mtf-box") ?? input).getBoundingClientRect();
    const width = Math.min(Math.max(anchor.width, least), window.innerWidth - 8);
    const below = window.innerHeight - anchor.bottom - 8;
    const isAbove = below < 180 && anchor.top > below;
    Object.assign(list.style, {
      width: `${width}px`,
      left: `${Math.max(4, Math.min(anchor.left, window.innerWidth - width - 4))}px`,
      maxHeight: `${Math.min(264, isAbove ? anchor.top - 8 : below)}px`,
      top: isAbove ? "auto" : `${anchor.bottom + 2}px`,
      bottom: isAbove ? `${window.innerHeight - anchor.top + 2}px` : "auto",
    });
  }

  /** @param {number} number */
  function mark(number) {
    shown[marked]?.element.setAttribute("aria-selected", "false");
    marked = number;
    const option = shown[number]?.element;
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    setAttribute(input, "aria-activedescendant", option?.id ?? null);
  }

  function search() {
    const text = isFresh ? "" : input.value.trim().toLowerCase();
    const words = text.split(/\s+/).filter(Boolean);
    const gone = taken?.() ?? new Set();
    const found = entries().filter(([value, title, group, aliases, kind, otherNames = []]) => {
      const all = [value, title, group, ...aliases, kind, ...otherNames].join(" ").toLowerCase();
      return !gone.has(value) && words.every((word) => all.includes(word));
    });
    if (!words.length) return found;
    /** @param {Entry} entry */
    const rank = ([value, title, , aliases, , otherNames = []]) => {
      const names = [value, title, ...aliases, ...otherNames].map((name) => name.toLowerCase());
      if (names.includes(text)) return 0;
      return names.some((name) => name.startsWith(text)) ? 1 : 2;
    };
    return found
      .map((entry, position) => ({ entry, position, rank: rank(entry) }))
      .sort((one, other) => one.rank - other.rank || one.position - other.position)
      .map(({ entry }) => entry);
  }

  /** @param {Entry} entry */
  function option(entry) {
    const [value, title, , aliases, kind] = entry;
    const [name, about] = kind
      ? [value, title]
      : [title || value, (title ? [...aliases, value] : []).join(" · ")];
    return make(
      "div",
      { id: newId(), role: "option", "aria-selected": "false" },
      make("b", {}, name), make("span", {}, about), kind ? make("i", {}, kind) : null,
    );
  }

  function fill() {
    const found = search();
    const isSearch = !isFresh && input.value.trim() !== "";
    shown = found.map((entry) => ({ element: option(entry), entry }));
    /** @type {Map<string, HTMLElement>} */
    const groups = new Map();
    const content = document.createDocumentFragment();
    for (const { element, entry } of shown) {
      const title = isSearch ? "" : entry[2];
      let group = groups.get(title);
      if (title && !group) {
        group = make("div", { role: "group", "aria-label": title },
          make("div", { class: "mtf-heading", "aria-hidden": "true" }, title));
        groups.set(title, group);
        content.append(group);
      }
      (group ?? content).append(element);
    }
    if (!shown.length) {
      const text = free && isSearch ? `Enter adds “${input.value.trim()}”` : "Nothing found";
      content.append(make("div",
        { role: "option", class: "mtf-none", "aria-disabled": "true", "aria-selected": "false" },
        text));
    }
    list.replaceChildren(content);
    marked = -1;
    mark(isSearch && shown.length ? 0 : -1);
  }

  function open() {
    fill();
    if (!isOpen()) {
      list.showPopover();
      input.setAttribute("aria-expanded", "true");
    }
    place();
    if (marked >= 0) mark(marked);
  }

  function close() {
    if (isOpen()) list.hidePopover();
    setAttribute(input, "aria-expanded", "false");
    setAttribute(input, "aria-activedescendant", null);
    marked = -1;
  }

  /** @param {Entry} entry */
  function take(entry) {
    pick(entry);
    if (staysOpen) {
      input.value = "";
      open();
    } else {
      isFresh = true;
      close();
    }
  }

  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the focus stays in the input
    const target = /** @type {Element} */ (event.target).closest("[role=option]");
    const hit = shown.find(({ element }) => element === target);
    if (hit) take(hit.entry);
  });
  list.addEventListener("mousemove", (event) => {
    const target = /** @type {Element} */ (event.target).closest("[role=option]");
    const number = shown.findIndex(({ element }) => element === target);
    if (number >= 0 && number !== marked) mark(number);
  });
  input.addEventListener("input", () => {
    isFresh = false;
    open();
  });
  input.addEventListener("mousedown", () => {
    if (document.activeElement === input && !isOpen()) open();
  });
  input.addEventListener("focus", () => {
    isFresh = true;
    input.select();
    if (opensOnFocus) open();
    opensOnFocus = true;
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const last = shown.length - 1;
    /** @type {Record<string, () => number>} */
    const moves = {
      ArrowDown: () => (marked >= last ? 0 : marked + 1),
      ArrowUp: () => (marked <= 0 ? last : marked - 1),
      PageDown: () => Math.min(last, marked + 8),
      PageUp: () => Math.max(0, marked - 8),
    };
    if (event.key in moves) {
      event.preventDefault();
      if (!isOpen()) open();
      else if (last >= 0) mark(moves[event.key]());
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (isOpen() && marked >= 0) take(shown[marked].entry);
      else if (free && input.value.trim()) {
        free(input.value);
        input.value = "";
        if (isOpen()) open();
      } else if (!isOpen()) open();
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      close();
    }
  });
  // a list in the top layer does not scroll with the page
  document.addEventListener("scroll", (event) => {
    if (isOpen() && event.target !== list) place();
  }, { capture: true, passive: true, signal: form.signal });

  return {
    open,
    close,
    refresh() {
      if (isOpen()) place();
    },
    /** Focus the input with its list closed. */
    focusQuietly() {
      opensOnFocus = false;
      input.focus();
    },
    get isSearch() {
      return !isFresh;
    },
    remove() {
      list.remove();
    },
  };
}

// ---------------------------------------------------------------------------------------------
// Editors: one kind of control for each kind of parameter.

/** @param {Form} form @param {Field} field @returns {Editor & {remove?: () => void}} */
function editor(form, field) {
  const kinds = { chips, lines, choice, search, day, text: line };
  return kinds[/** @type {keyof typeof kinds} */ (field.editor)](form, field);
}

/** @param {Field} field */
const labelled = (field) => ({ "aria-label": field.label, title: `${field.name}: ${field.help}`,
  "data-name": field.name });

/** @param {Form} form @param {string} name */
const textOf = (form, name) => {
  const value = form.store.view.values[name] ?? "";
  return Array.isArray(value) ? value.join(", ") : value;
};

/** Text, sent while it is typed. @param {Form} form @param {Field} field */
function line(form, field) {
  const input = make("input", { ...labelled(field), placeholder: field.placeholder,
    autocomplete: "off", spellcheck: "false" });
  return typed(form, field, input);
}

/** A list of ids or names as text. @param {Form} form @param {Field} field */
function lines(form, field) {
  const area = make("textarea", { ...labelled(field), placeholder: field.placeholder, rows: 1,
    spellcheck: "false" });
  const count = make("span", { class: "mtf-quiet" });
  const inner = typed(form, field, area);
  return {
    ...inner,
    root: make("div", { class: "mtf-lines" }, area, count),
    update() {
      inner.update();
      const values = area.value.split(/[,\t\r\n]+/).filter((value) => value.trim()).length;
      setText(count, values > 3 ? `${values} values` : "");
      const rows = area.value.length > 120 ? 3 : area.value.length > 50 ? 2
        : Math.min(3, area.value.split("\n").length);
      setAttribute(area, "rows", String(rows));
      area.classList.toggle("mtf-tall", rows === 3);
    },
  };
}

/**
 * @template {HTMLInputElement | HTMLTextAreaElement} T
 * @param {Form} form @param {Field} field @param {T} input
 */
function typed(form, field, input) {
  const send = paced(() => form.store.isWaiting,
    () => form.store.act("type", { name: field.name, text: input.value }));
  input.addEventListener("input", send);
  input.addEventListener("blur", () => {
    send.flush();
    update();
  });
  let rewrites = form.store.view.rewrites;
  const update = () => {
    const isRewritten = rewrites !== form.store.view.rewrites;
    rewrites = form.store.view.rewrites;
    if (isRewritten) send.drop();
    const text = textOf(form, field.name);
    if ((isRewritten || document.activeElement !== input) && input.value !== text) {
      input.value = text;
    }
  };
  return { root: /** @type {HTMLElement} */ (input), control: input, update, flush: send.flush };
}

/** A day. @param {Form} form @param {Field} field */
function day(form, field) {
  const input = make("input", { type: "date", ...labelled(field), class: "mtf-day" });
  const inner = typed(form, field, input);
  return {
    ...inner,
    update() {
      // a date input can't show a text that is not a date
      const text = textOf(form, field.name);
      const type = text === "" || /^\d{4}-\d\d-\d\d$/.test(text) ? "date" : "text";
      if (document.activeElement !== input && input.type !== type) input.type = type;
      inner.update();
    },
  };
}

/** One value of a short list. @param {Form} form @param {Field} field */
function choice(form, field) {
  const entries = form.schema.dictionaries[field.dictionary];
  const select = make("select", {
    ...labelled(field),
    onchange: () => form.store.act("type", { name: field.name, text: select.value }),
  }, make("option", { value: "" }, "not set"),
  ...entries.map(([value, title]) => make("option", { value }, title || value)));
  const other = make("option", {});
  return {
    root: /** @type {HTMLElement} */ (select),
    control: select,
    update() {
      const value = textOf(form, field.name);
      if (value === "" || entries.some(([known]) => known === value)) other.remove();
      else {
        other.value = value;
        setText(other, value);
        select.append(other);
      }
      if (select.value !== value) select.value = value;
    },
  };
}

/** One value of a long list. @param {Form} form @param {Field} field */
function search(form, field) {
  const entries = form.schema.dictionaries[field.dictionary];
  const input = make("input", { ...labelled(field), placeholder: field.placeholder });
  /** @param {string} value */
  const shownAs = (value) => {
    const entry = entries.find(([known]) => known === value);
    return entry && entry[1] ? `${entry[1]} · ${value}` : value;
  };
  const box = combobox(form, input, {
    label: `${field.title} to choose`,
    entries: () => entries,
    pick: ([value]) => {
      form.store.act("type", { name: field.name, text: value });
      input.value = shownAs(value);
    },
  });
  let isTyped = false;
  let rewrites = form.store.view.rewrites;
  const flush = () => {
    const text = input.value.trim();
    if (isTyped && text !== shownAs(textOf(form, field.name))) {
      form.store.act("type", { name: field.name, text });
    }
    isTyped = false;
  };
  input.addEventListener("input", () => (isTyped = true));
  input.addEventListener("blur", () => {
    flush();
    update();
  });
  const update = () => {
    const isRewritten = rewrites !== form.store.view.rewrites;
    rewrites = form.store.view.rewrites;
    if (isRewritten) {
      isTyped = false;
      box.close();
    }
    const text = shownAs(textOf(form, field.name));
    if ((isRewritten || document.activeElement !== input) && input.value !== text) {
      input.value = text;
    }
  };
  return { root: /** @type {HTMLElement} */ (input), control: input, update, flush,
    remove: box.remove };
}

/**
 * Several entries of a dictionary: a toolbar of chips, and an input to add more.
 * @param {Form} form
 * @param {Field} field
 */
function chips(form, field) {
  const { store } = form;
  const { name, isOrdered } = field;
  const entries = form.schema.dictionaries[field.dictionary];
  const byValue = new Map(entries.map((entry) => [entry[0], entry]));
  const help = make("span", { id: newId(), class: "mtf-hidden" },
    `Delete removes${isOrdered ? "; Shift with the arrows moves" : ""}`);
  const bar = make("div", { class: "mtf-chips", role: "toolbar",
    "aria-label": `${field.title}, chosen`, "aria-orientation": "horizontal" });
  const input = make("input", { ...labelled(field), "aria-label": `Add to ${field.title}` });
  const root = make("div", { class: "mtf-box" }, bar, input, help);
  const count = make("span", { class: "mtf-quiet" });
  const values = () => /** @type {string[]} */ (
    Array.isArray(store.view.values[name]) ? store.view.values[name] : []);
  const chipOf = (/** @type {string | undefined} */ key) => /** @type {HTMLElement | undefined} */ (
    [...bar.children].find((chip) => /** @type {HTMLElement} */ (chip).dataset.key === key));
  const box = combobox(form, input, {
    label: `${field.title} to add`,
    entries: () => entries,
    taken: () => new Set(values()),
    staysOpen: true,
    pick: ([value]) => store.act("add", { name, text: value }),
    free: (text) => store.act("add", { name, text }),
  });
  let current = ""; // the chip that Tab reaches

  /** @param {string} key */
  function focusChip(key) {
    current = key;
    for (const chip of bar.children) {
      const element = /** @type {HTMLElement} */ (chip);
      element.tabIndex = element.dataset.key === key ? 0 : -1;
    }
    chipOf(key)?.focus();
  }

  /** @param {string} key */
  function remove(key) {
    const place = values().indexOf(key);
    const hadFocus = chipOf(key) === document.activeElement;
    store.act("remove", { name, key });
    form.say(`${key} removed`);
    const rest = values();
    if (!hadFocus) return;
    if (rest.length) focusChip(rest[Math.min(place, rest.length - 1)]);
    else box.focusQuietly();
  }

  /** @param {string} key @param {number} to */
  function move(key, to) {
    const all = values();
    const place = Math.max(0, Math.min(all.length - 1, to));
    if (place === all.indexOf(key)) return;
    store.act("move", { name, key, to: place });
    focusChip(key);
    form.say(`${key}, ${place + 1} of ${all.length}`);
  }

  // text that was typed but not added: Python adds it if it is the name of an entry, and otherwise
  // keeps it in `pending`
  const flush = () => {
    if (input.value.trim()) store.act("add", { name, text: input.value, only_exact: true });
    else if (store.view.pending[name]) store.act("add", { name, text: "", only_exact: true });
  };
  input.addEventListener("blur", flush);
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text") ?? "";
    if (event.defaultPrevented || !/[,\t\n]/.test(text)) return;
    event.preventDefault();
    store.act("add", { name, text });
    box.open();
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const all = values();
    if (event.key === "," && input.value.trim()) {
      event.preventDefault();
      store.act("add", { name, text: input.value });
      input.value = "";
      box.open();
    } else if (!input.value && all.length && ["Backspace", "ArrowLeft"].includes(event.key)) {
      event.preventDefault();
      box.close();
      focusChip(all[all.length - 1]);
    }
  });
  bar.addEventListener("keydown", (event) => {
    const key = /** @type {HTMLElement} */ (event.target).dataset.key;
    if (key === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = values();
    const place = all.indexOf(key);
    /** @type {Record<string, () => void>} */
    const acts = {
      ArrowLeft: () => (event.shiftKey && isOrdered ? move(key, place - 1)
        : focusChip(all[Math.max(0, place - 1)])),
      ArrowRight: () => {
        if (event.shiftKey && isOrdered) move(key, place + 1);
        else if (place < all.length - 1) focusChip(all[place + 1]);
        else box.focusQuietly();
      },
      Home: () => focusChip(all[0]),
      End: () => focusChip(all[all.length - 1]),
      Delete: () => remove(key),
      Backspace: () => remove(key),
    };
    if (event.key in acts) {
      event.preventDefault();
      acts[event.key]();
    }
  });
  bar.addEventListener("pointerdown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const chip = /** @type {HTMLElement | null} */ (target.closest(".mtf-chip"));
    if (!chip || event.button) return;
    event.preventDefault();
    const key = chip.dataset.key ?? "";
    if (target.closest(".mtf-cross")) {
      remove(key);
      return;
    }
    focusChip(key);
    if (isOrdered) drag(key, event);
  });

  /** @param {string} key @param {PointerEvent} start */
  function drag(key, start) {
    let to = -1;
    const end = new AbortController();
    const options = { signal: end.signal };
    const clear = () => {
      for (const chip of bar.children) chip.classList.remove("mtf-before", "mtf-after", "mtf-drag");
    };
    window.addEventListener("pointermove", (event) => {
      const moved = Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY);
      if (to < 0 && moved < 5) return;
      clear();
      const dragged = chipOf(key);
      dragged?.classList.add("mtf-drag");
      let nearest = Infinity;
      /** @type {[Element, boolean] | undefined} */
      let best;
      [...bar.children].filter((chip) => chip !== dragged).forEach((chip, place) => {
        const { left, top, width, height } = chip.getBoundingClientRect();
        const right = event.clientX - (left + width / 2);
        // weight rows, so that a chip in the same row is nearer than one in another
        const distance = Math.hypot(right, (event.clientY - (top + height / 2)) * 4);
        if (distance < nearest) {
          nearest = distance;
          best = [chip, right > 0];
          to = place + (right > 0 ? 1 : 0);
        }
      });
      best?.[0].classList.add(best[1] ? "mtf-after" : "mtf-before");
    }, options);
    const stop = (/** @type {boolean} */ isDropped) => {
      end.abort();
      clear();
      if (isDropped && to >= 0) move(key, to);
    };
    window.addEventListener("pointerup", () => stop(true), options);
    window.addEventListener("pointercancel", () => stop(false), options);
    window.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      stop(false);
    }, { ...options, capture: true });
  }

  root.addEventListener("mousedown", (event) => {
    if (event.target !== root && event.target !== bar) return;
    event.preventDefault();
    input.focus();
  });

  let rewrites = store.view.rewrites;
  function update() {
    const view = store.view;
    const all = values();
    const focused = /** @type {HTMLElement | null} */ (
      bar.contains(document.activeElement) ? document.activeElement : null)?.dataset.key;
    const before = new Map([...bar.children].map((chip) =>
      [/** @type {HTMLElement} */ (chip).dataset.key, /** @type {HTMLElement} */ (chip)]));
    const reached = all.includes(current) ? current : all[0];
    const next = all.map((key) => {
      const entry = byValue.get(key) ?? entries.find(([, , , aliases]) => aliases.includes(key));
      const text = entry && !entry[4] ? entry[1] || entry[0] : entry?.[0] ?? key;
      const chip = before.get(key) ?? make("button", { type: "button", class: "mtf-chip",
        "data-key": key, "aria-describedby": help.id },
      make("span", {}, text),
      make("span", { class: "mtf-cross", "aria-hidden": "true", title: "Remove (Delete)" }, "×"));
      setText(/** @type {Element} */ (chip.firstChild), text);
      setAttribute(chip, "title", entry
        ? [entry[1], ...entry[3], entry[0], entry[4]].filter(Boolean).join(" · ")
        : "not in the known list");
      chip.classList.toggle("mtf-unknown", !entry && !store.isWaiting);
      setAttribute(chip, "tabindex", key === reached ? "0" : "-1");
      return chip;
    });
    if (next.length !== bar.children.length || next.some((chip, at) => chip !== bar.children[at])) {
      bar.replaceChildren(...next);
      if (focused !== undefined) {
        const again = chipOf(focused);
        if (again) again.focus();
        else if (all.length) focusChip(all[all.length - 1]);
        else box.focusQuietly();
      }
    }
    bar.hidden = !all.length; // hide an empty toolbar from screen readers
    setText(count, all.length < COUNTED_FROM ? "" : `${all.length} ${field.title.toLowerCase()}`);
    setAttribute(input, "placeholder", all.length ? "add" : field.placeholder);
    const isRewritten = rewrites !== view.rewrites;
    rewrites = view.rewrites;
    const left = view.pending[name] ?? "";
    if ((isRewritten || document.activeElement !== input) && !store.isWaiting
      && input.value !== left) input.value = left;
    if (isRewritten) box.close();
    else box.refresh();
  }

  return { root: make("div", { class: "mtf-lines" }, root, count), control: input, update, flush,
    remove: box.remove };
}

// ---------------------------------------------------------------------------------------------
// The form.

/**
 * @param {{model: Model, root: HTMLElement, store: Store, signal: AbortSignal}} given
 */
function draw({ model, root, store, signal }) {
  /** @type {Schema} */
  const schema = model.get("_schema");
  const fields = new Map(schema.fields.map((field) => [field.name, field]));
  const live = make("div", { class: "mtf-hidden", role: "status", "aria-live": "polite" });
  const popups = make("div", { class: "mtf-popups" });
  /** @type {Form} */
  const form = {
    store, schema, popups, signal, say: (text) => { live.textContent = text; },
  };
  /** @type {Map<string, Editor & {remove?: () => void}>} */
  const editors = new Map();
  const inSection = (/** @type {string} */ section) =>
    schema.fields.filter((field) => field.section === section);
  const edit = (/** @type {Field} */ field) => {
    const made = editor(form, field);
    editors.set(field.name, made);
    return made;
  };
  const flushAll = () => editors.forEach((made) => made.flush?.());

  // Left: the request.
  const eventRows = inSection("event").map((field) => {
    const { root: control } = edit(field);
    control.id = newId();
    return row(field.title, make("label", { for: control.id }, field.title), control);
  });

  const presets = make("select", { "aria-label": "Days",
    onchange: () => {
      if (presets.selectedIndex > 0) store.act("applyPreset", { title: presets.value });
    } },
  make("option", { value: "" }, "Choose days"),
  ...schema.presets.map((title) => make("option", { value: title }, title)));
  const exactSwitch = make("button", { type: "button", class: "mtf-flat", "aria-expanded": "false",
    onclick: () => {
      wantsExact = !wantsExact;
      update();
    } }, "Exact times");
  let wantsExact = false;
  const whenControls = inSection("when").flatMap((field) => {
    const dash = make("span", { class: "mtf-dash", "aria-hidden": "true" }, "–");
    return field.name === schema.days[1] ? [dash, edit(field).root] : [edit(field).root];
  });
  const exactFields = inSection("exact");
  const exact = make("div", { class: "mtf-line", id: newId() },
    ...exactFields.map((field) => make("label", { class: "mtf-exact" },
      field.title, edit(field).root)));
  exactSwitch.setAttribute("aria-controls", exact.id);
  const words = make("div", { class: "mtf-quiet" });
  const when = row("When", null, make("div", { class: "mtf-line" },
    presets, ...whenControls, exactSwitch), exact, words);

  const columnRows = inSection("columns").map((field) => {
    const { root: control } = edit(field);
    const sets = make("div", { class: "mtf-line mtf-sets" });
    const known = make("span", { class: "mtf-quiet mtf-known" });
    const below = make("div", { class: "mtf-line mtf-below" }, sets, known);
    return { field, sets, known, element: row(field.title, null, control, below) };
  });

  const filters = make("div", { class: "mtf-filters" });
  const addInput = make("input", { "aria-label": "Add filter", placeholder: "+ Add filter",
    class: "mtf-add" });
  const addBox = combobox(form, addInput, {
    label: "Filters to add",
    least: 520,
    wraps: true,
    entries: () => store.view.offers
      .filter((name) => !store.view.filters.includes(name))
      .map((name) => /** @type {Field} */ (fields.get(name)))
      .sort((one, other) => Number(one.isAdvanced) - Number(other.isAdvanced))
      .map(({ name, title, help, isAdvanced }) =>
        [title, help, isAdvanced ? "More" : "Usual", [], name]),
    pick: ([, , , , name]) => {
      addInput.value = "";
      store.act("addFilter", { name });
      editors.get(name)?.control.focus();
    },
  });
  addInput.addEventListener("blur", () => { addInput.value = ""; });
  const filterPart = row("Filters", null, filters, addInput);

  /** @type {Map<string, {element: HTMLElement, note: HTMLElement}>} */
  const filterRows = new Map();
  function updateFilters() {
    const view = store.view;
    for (const name of view.filters) {
      const field = fields.get(name);
      if (!field || filterRows.has(name)) continue;
      const note = make("div", { class: "mtf-quiet" });
      const remove = make("button", { type: "button", class: "mtf-flat mtf-remove",
        title: `Remove filter ${field.title}`, "aria-label": `Remove filter ${field.title}`,
        onclick: () => {
          addBox.focusQuietly();
          store.act("removeFilter", { name });
          form.say(`${field.title} removed`);
        } }, "×");
      const element = make("div", { class: "mtf-filter", role: "group",
        "aria-label": `Filter ${field.title}` },
      make("span", { class: "mtf-name", title: `${name}: ${field.help}` }, field.title),
      make("div", {}, edit(field).root, note), remove);
      filterRows.set(name, { element, note });
    }
    for (const [name, { element, note }] of filterRows) {
      if (!view.filters.includes(name)) {
        if (element.contains(document.activeElement)) addBox.focusQuietly();
        element.remove();
        editors.get(name)?.remove?.();
        editors.delete(name);
        filterRows.delete(name);
        continue;
      }
      const reason = view.notSent[name] ?? "";
      setText(note, reason);
      element.classList.toggle("mtf-off", reason !== "");
    }
    const wanted = view.filters.map((name) => filterRows.get(name)?.element)
      .filter((element) => element !== undefined);
    if (wanted.some((element, place) => filters.children[place] !== element)) {
      const focused = /** @type {HTMLElement | null} */ (document.activeElement);
      const hadFocus = filters.contains(focused);
      filters.append(...wanted);
      if (hadFocus) focused?.focus();
    }
    addInput.hidden = !view.offers.length;
  }

  // Right: the code, the problems and the buttons.
  const languages = ["magic", "python", "curl"];
  const shownCode = () => store.view.code[language === "magic" ? "cell" : language];
  let language = "magic";
  const panel = newId();
  const magic = make("textarea", { class: "mtf-code", "aria-label": "Magic", spellcheck: "false",
    autocomplete: "off", wrap: "off" });
  const listing = make("pre", { class: "mtf-code", tabindex: 0, role: "region",
    "aria-label": "Code" });
  const codePanel = make("div", { id: panel, role: "tabpanel", "aria-label": "Code",
    class: "mtf-panel" }, magic, listing);
  const write = paced(() => store.isWaiting, () => store.act("write", { text: magic.value }));
  magic.addEventListener("input", write);
  magic.addEventListener("blur", () => {
    write.flush();
    update();
  });
  const tabs = languages.map((name, place) => make("button", { type: "button", role: "tab",
    id: newId(), "aria-controls": panel,
    onclick: () => {
      language = name;
      update();
    },
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = step ? (place + step + tabs.length) % tabs.length
        : { Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      tabs[to].focus();
      tabs[to].click();
    } }, { magic: "Magic", python: "Python", curl: "curl" }[name] ?? name));
  const copyCode = copyButton(shownCode);
  const frame = make("input", { "aria-label": "Name of the DataFrame (--frame)", class: "mtf-frame",
    placeholder: "df", title: "--frame: the variable that the rows are loaded into",
    spellcheck: "false", autocomplete: "off" });
  const sendFrame = paced(() => store.isWaiting,
    () => store.act("setFrame", { name: frame.value }));
  frame.addEventListener("input", sendFrame);
  frame.addEventListener("blur", () => {
    sendFrame.flush();
    update();
  });
  const frameNote = make("div", { class: "mtf-error", id: newId() });
  const sandbox = make("strong", { class: "mtf-sandbox", title: "a sandbox: its data is made up" },
    "SANDBOX");
  const problems = make("ul", { class: "mtf-problems", "aria-label": "Problems" });
  const submit = make("button", { type: "button", class: "mtf-main", onclick: () => {
    flushAll();
    write.flush();
    sendFrame.flush();
    submitted = store.act("submit");
  } }, "Submit");
  const cancel = make("button", { type: "button", onclick: () => store.act("cancel") }, "Cancel");
  const verdict = make("div", { class: "mtf-verdict", role: "status", tabindex: -1 });
  const trouble = make("p", { class: "mtf-error mtf-trouble", role: "alert" });
  let submitted = 0; // the act whose outcome decides where the focus goes

  // Below: the export and its first rows.
  const card = make("div", { class: "mtf-card" });
  const load = make("code", {});
  const copyLoad = copyButton(() => store.progress.load);
  const rowsTitle = make("span", {});
  const rows = make("div", { class: "mtf-table", tabindex: 0, role: "region",
    "aria-label": "First rows" });
  const preview = make("div", { class: "mtf-preview" },
    make("div", { class: "mtf-line" }, rowsTitle, make("pre", {}, load), copyLoad), rows);
  const result = make("div", { class: "mtf-result" }, card, preview);

  const box = make("div", { class: "mtf", role: "group", "aria-label": "Request of an export",
    tabindex: -1, "data-jp-suppress-context-menu": "true" },
  make("div", { class: "mtf-panes" },
    make("div", { class: "mtf-left" }, ...eventRows, when,
      ...columnRows.map(({ element }) => element), filterPart),
    make("div", { class: "mtf-right" },
      make("div", { class: "mtf-tabs" },
        make("div", { role: "tablist", "aria-label": "Code as" }, ...tabs),
        make("label", { class: "mtf-frame-label" }, "--frame", frame), copyCode),
      frameNote,
      codePanel,
      problems,
      make("div", { class: "mtf-go" }, submit, cancel, sandbox, verdict),
      trouble)),
  result, live, popups);

  /** @param {() => string} text */
  function copyButton(text) {
    const button = make("button", { type: "button", class: "mtf-flat", onclick: async () => {
      await copyText(text());
      button.textContent = "Copied";
      form.say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1200);
    } }, "Copy");
    return button;
  }

  // Keys and pastes.
  // JupyterLab handles keys at the document, before the form; it ignores them if the focused
  // element itself has the attribute
  box.addEventListener("focusin", (event) => {
    /** @type {HTMLElement} */ (event.target).setAttribute("data-lm-suppress-shortcuts", "true");
  });
  for (const type of ["keydown", "keypress", "keyup"]) {
    box.addEventListener(type, (event) => event.stopPropagation());
  }
  for (const type of ["copy", "cut", "paste"]) {
    box.addEventListener(type, (event) => event.stopPropagation());
  }
  box.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text") ?? "";
    if (!LOOKS_LIKE_A_REQUEST.test(text)) return;
    event.preventDefault();
    const control = /** @type {HTMLInputElement} */ (event.target);
    const name = control.dataset?.name ?? "";
    const isText = typeof control.selectionStart === "number";
    const whole = isText
      ? control.value.slice(0, control.selectionStart ?? 0) + text
        + control.value.slice(control.selectionEnd ?? 0)
      : text;
    write.drop();
    store.act("paste", { text, name, whole });
  }, { capture: true });

  /** @param {string} parameter */
  function focusOn(parameter) {
    const made = editors.get(parameter);
    const field = fields.get(parameter);
    if (field?.section === "exact" && !wantsExact) {
      wantsExact = true;
      update();
    }
    if (made) made.control.focus();
    else if (field?.section === "filters") {
      store.act("addFilter", { name: parameter });
      editors.get(parameter)?.control.focus();
    } else {
      language = "magic";
      update();
      magic.focus();
    }
  }

  function updateProblems() {
    const view = store.view;
    const items = view.problems.map((problem) => {
      const kind = problem.isMissing ? "missing" : problem.severity;
      return make("li", { class: `mtf-${kind}`, id: newId(), "data-parameter": problem.parameter },
        make("button", { type: "button", class: "mtf-link", title: problem.parameter,
          onclick: () => focusOn(problem.parameter) }, problem.title),
        ` ${problem.text}`,
        problem.hint ? make("span", { class: problem.isMissing ? "mtf-hidden" : "" },
          ` (${problem.hint})`) : null);
    });
    const before = [...problems.children].map((item) => item.className + item.textContent).join();
    if (before !== items.map((item) => item.className + item.textContent).join()) {
      problems.replaceChildren(...items);
    }
    problems.hidden = !items.length;
    for (const [name, made] of editors) {
      const about = view.problems.filter((problem) => problem.parameter === name);
      const isWrong = about.some((problem) => problem.severity === "error" && !problem.isMissing);
      setAttribute(made.control, "aria-invalid", isWrong ? "true" : null);
      const ids = [...problems.children]
        .filter((item) => /** @type {HTMLElement} */ (item).dataset.parameter === name)
        .map((item) => item.id);
      setAttribute(made.control, "aria-describedby", ids.join(" ") || null);
    }
  }

  let shownRewrites = store.view.rewrites;
  function updateCode() {
    const view = store.view;
    tabs.forEach((tab, place) => {
      const isShown = languages[place] === language;
      setAttribute(tab, "aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    });
    magic.hidden = language !== "magic";
    listing.hidden = language === "magic";
    const isRewritten = shownRewrites !== view.rewrites;
    shownRewrites = view.rewrites;
    // what is being written stays as it is; then it becomes a cell that runs
    const isEdited = document.activeElement === magic;
    const text = isEdited ? view.code.magic : view.code.cell;
    if ((isRewritten || !isEdited) && magic.value !== text) magic.value = text;
    if (language !== "magic") setText(listing, shownCode());
    listing.dataset.language = language;
    const lines = shownCode().split("\n", MOST_LINES).length;
    if (codePanel.dataset.lines !== String(lines)) {
      codePanel.dataset.lines = String(lines);
      codePanel.style.setProperty("--mtf-lines", String(lines));
    }
    if (document.activeElement !== frame && frame.value !== view.frame) frame.value = view.frame;
    setText(frameNote, view.frameProblem);
    setAttribute(frame, "aria-invalid", view.frameProblem ? "true" : null);
    setAttribute(frame, "aria-describedby", view.frameProblem ? frameNote.id : null);
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waitingTimer;
  let isLate = false;
  function updateProgress() {
    const progress = store.progress;
    if (store.isWaiting && waitingTimer === undefined) {
      waitingTimer = setTimeout(() => {
        isLate = true;
        update();
      }, WAITING_SHOWN_AFTER);
    } else if (!store.isWaiting) {
      clearTimeout(waitingTimer);
      waitingTimer = undefined;
      isLate = false;
    }
    const text = store.isGone
      ? "The kernel does not respond: this is the last known state. Run the cell again."
      : isLate ? "Waiting for the kernel" : progress.verdict;
    setText(verdict, text);
    verdict.dataset.tone = store.isGone ? "error" : isLate ? "missing" : progress.tone;
    // acts that are not acknowledged yet can make the request valid
    submit.disabled = store.isGone || !(progress.canSubmit || store.isWaiting);
    cancel.disabled = store.isGone || !progress.canCancel;
    setText(trouble, progress.trouble);
    setHtml(card, progress.card);
    result.hidden = !progress.card;
    // not if the card below already shows it
    sandbox.hidden = !store.view.account.isSandbox || card.querySelector(".sandbox") !== null;
    setHtml(rows, progress.preview);
    setText(rowsTitle, progress.rows ? `${progress.rows}. All of them:` : "");
    setText(load, progress.load);
    preview.hidden = !progress.preview;
    root.dataset.phase = progress.phase;
  }

  function keepFocus() {
    const { acks } = store.view;
    const isAnswered = submitted > 0 && Object.values(acks).includes(submitted);
    if (isAnswered && !store.isWaiting) {
      submitted = 0;
      const problem = store.view.problems.find(({ severity }) => severity === "error");
      if (problem && document.activeElement === submit) focusOn(problem.parameter);
    }
  }

  /**
   * The element to focus once a button with the focus is disabled: without a focus in the form, keys
   * would act on the notebook.
   */
  function nextAfterButtons() {
    if (!cancel.disabled) return cancel;
    if (!preview.hidden) return copyLoad;
    return verdict;
  }

  function update() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const hadFocus = box.contains(focused);
    updateFilters();
    const { values, preset, startingSets, columnsKnown, words: inWords } = store.view;
    editors.forEach((made) => made.update());
    setAttribute(presets, "data-preset", preset);
    if (document.activeElement !== presets || presets.value !== preset) presets.value = preset;
    const isExact = wantsExact || exactFields.some(({ name }) => values[name] !== undefined);
    exact.hidden = !isExact;
    setAttribute(exactSwitch, "aria-expanded", String(isExact));
    setText(words, inWords);
    for (const { field, sets, known } of columnRows) {
      updateSets(field, sets, startingSets);
      setText(known, columnsKnown);
    }
    updateCode();
    updateProblems();
    updateProgress();
    keepFocus();
    const isLost = hadFocus && (!box.contains(document.activeElement)
      || /** @type {HTMLButtonElement} */ (document.activeElement).disabled);
    // the verdict has the focus only until a button is enabled
    if (isLost || document.activeElement === verdict) nextAfterButtons().focus();
  }

  /** @param {Field} field @param {HTMLElement} sets @param {Record<string, string[]>} offered */
  function updateSets(field, sets, offered) {
    const present = store.view.values[field.name] ?? [];
    const useful = Object.entries(offered).filter(([, names]) =>
      names.some((name) => !present.includes(name)));
    const key = JSON.stringify(useful);
    if (sets.dataset.key === key) return;
    sets.dataset.key = key;
    const hadFocus = sets.contains(document.activeElement);
    sets.replaceChildren(...useful.map(([title, names]) => make("button", { type: "button",
      class: "mtf-flat", title: names.join(", "),
      onclick: () => store.act("add", { name: field.name, text: names.join(",") }) },
    `+ ${title}`)));
    if (hadFocus) {
      const first = /** @type {HTMLElement | null} */ (sets.firstElementChild);
      (first ?? editors.get(field.name)?.control)?.focus();
    }
  }

  root.append(box);
  store.listen(update, signal);
  signal.addEventListener("abort", () => clearTimeout(waitingTimer));
  // if the kernel restarts or ends, the form's state is lost; on pages that do not report it, the
  // next act can't be sent
  const ends = ["restarting", "autorestarting", "terminating", "dead"];
  const onStatus = (/** @type {any} */ _, /** @type {string} */ status) => {
    if (ends.includes(status)) store.setGone();
  };
  const { kernel } = model.widget_manager ?? {};
  kernel?.statusChanged?.connect(onStatus);
  kernel?.disposed?.connect(store.setGone);
  signal.addEventListener("abort", () => {
    kernel?.statusChanged?.disconnect(onStatus);
    kernel?.disposed?.disconnect(store.setGone);
  });
  update();
}

/**
 * A row of the form: its title, and its controls.
 * @param {string} title @param {HTMLElement | null} label @param {...HTMLElement} controls
 */
function row(title, label, ...controls) {
  return make("div", { class: "mtf-row", ...(label ? {} : { role: "group", "aria-label": title }) },
    label ?? make("span", { class: "mtf-label", "aria-hidden": "true" }, title),
    make("div", { class: "mtf-controls" }, ...controls));
}

/**
 * Show HTML that Python has escaped; open details stay open.
 * @param {HTMLElement} element @param {string} html
 */
function setHtml(element, html) {
  if (element.dataset.html === html) return;
  element.dataset.html = html;
  const unfolded = [...element.querySelectorAll("details")].map((details) => details.open);
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((details, position) => {
    details.open = unfolded[position] ?? false;
  });
}

export default () => {
  /** @type {Store | undefined} */
  let store;
  return {
    /** @param {{model: Model}} given */
    initialize({ model }) {
      store = makeStore(model);
      return () => store?.close();
    },
    /** @param {{model: Model, el: HTMLElement}} given */
    render({ model, el }) {
      const end = new AbortController();
      draw({ model, root: el, store: store ?? makeStore(model), signal: end.signal });
      return () => end.abort();
    },
  };
};
