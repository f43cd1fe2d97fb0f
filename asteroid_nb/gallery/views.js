// Draws what a notebook's outputs showed, from the state in which its widgets were left. What the browser did by itself in
// the notebook (player, cameras, links, figures) it does here too; what asked the kernel stands still.
const REFERENCE = "IPY_MODEL_";
const ASKS = "This asks the kernel: it works in the notebook.";

class Shelf {
  constructor({ models, links, programs, figures }) {
    [this.stored, this.links, this.programs, this.figures] = [models, links, programs, figures];
    this.made = new Map();
    this.modules = new Map();
    for (const { ends, both } of links) {
      const [[from, source], [to, target]] = ends.map(([name, trait]) => [this.get(name), trait]);
      from.on(`change:${source}`, () => to.set(target, from.get(source)));
      if (both) to.on(`change:${target}`, () => from.set(source, to.get(target)));
    }
  }
  // The model of a name or of a reference to it.
  get(reference) {
    const name = reference.replace(REFERENCE, "");
    if (this.made.has(name)) return this.made.get(name);
    if (!(name in this.stored)) return null;
    const { kind, state, buffers } = this.stored[name];
    for (const [key, data] of Object.entries(buffers)) state[key] = view(bytesOf(data));
    const model = Object.assign(new Model(state), { kind, name });
    this.made.set(name, model);
    return model;
  }
  linked(model, trait) {
    return this.links.some(({ ends }) => ends.some(([name, one]) => name === model.name && one === trait));
  }
  module(name) {
    if (!this.modules.has(name)) {
      const address = URL.createObjectURL(new Blob([this.programs[name]], { type: "text/javascript" }));
      this.modules.set(name, import(address).then((found) => found.default));
    }
    return this.modules.get(name);
  }
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// One view of the page: the outermost widget of an output, its molecules, and whether something in it stands still.
class Root {
  constructor(shelf, el) {
    [this.shelf, this.el] = [shelf, el];
    this.scenes = [];
    this.drawing = [];
    this.still = false;
  }
  draw(reference, into) {
    const model = this.shelf.get(reference);
    if (!model) return;
    const el = (KINDS[model.kind] ?? unknown)(model, this);
    el.classList.add(...(model.get("_dom_classes") ?? []));
    const layout = model.get("layout") && this.shelf.get(model.get("layout"));
    for (const [key, value] of Object.entries(layout?.values ?? {})) {
      if (!key.startsWith("_")) el.style.setProperty(key.replaceAll("_", "-"), value);
    }
    into.append(el);
  }
  style(model, name) {
    const style = model.get("style") && this.shelf.get(model.get("style"));
    return style?.get(name) || "";
  }
}

const box = (className) => (model, root) => {
  const made = tag("div", `anb-box ${className}`);
  for (const child of model.get("children")) root.draw(child, made);
  return made;
};

function words(model, root) {
  const made = tag("div", "anb-words");
  if (model.get("description")) made.append(tag("span", "anb-label", model.get("description")));
  const value = tag("div", "");
  if (model.kind === "LabelModel") value.textContent = model.get("value");
  else value.innerHTML = model.get("value");
  made.append(value);
  return made;
}

// A control lives on where the browser itself linked it; else it stands still.
function control(model, root, input, trait) {
  const made = tag("label", "anb-control");
  const name = tag("span", "anb-label", model.get("description"));
  name.style.width = root.style(model, "description_width") === "initial" ? "auto" : "";
  const live = root.shelf.linked(model, trait);
  input.disabled = !live || model.get("disabled");
  if (!live) {
    made.title = ASKS;
    root.still = true;
  }
  made.append(name, input);
  return made;
}

function menuOf(model, root) {
  const select = tag("select", "");
  (model.get("_options_labels") ?? []).forEach((label, index) => select.append(Object.assign(tag("option", "", label), { value: index })));
  const show = () => (select.value = model.get("index") ?? -1);
  select.addEventListener("change", () => model.set("index", Number(select.value)));
  model.on("change:index", show);
  show();
  return control(model, root, select, "index");
}

function slider(model, root) {
  const labels = model.get("_options_labels");
  const trait = labels ? "index" : "value";
  const input = Object.assign(tag("input", ""), { type: "range", step: model.get("step") ?? 1 });
  [input.min, input.max] = labels ? [0, labels.length - 1] : [model.get("min"), model.get("max")];
  const readout = tag("output", "");
  const show = () => {
    input.value = model.get(trait);
    readout.textContent = labels ? labels[model.get(trait)] : model.get("value");
  };
  input.addEventListener("input", () => model.set(trait, Number(input.value)));
  model.on(`change:${trait}`, show);
  show();
  const made = control(model, root, input, trait);
  made.append(readout);
  return made;
}

function checkbox(model, root) {
  const input = Object.assign(tag("input", ""), { type: "checkbox", checked: model.get("value") });
  input.addEventListener("change", () => model.set("value", input.checked));
  return control(model, root, input, "value");
}

function pressed(model, root) {
  const made = tag("button", "anb-button", model.get("description"));
  made.disabled = true;
  made.title = ASKS;
  if (!model.get("disabled")) root.still = true;
  return made;
}

function progress(model) {
  const made = tag("progress", "");
  const [min, max] = [model.get("min"), model.get("max")];
  [made.max, made.value] = [max - min || 1, model.get("value") - min];
  return made;
}

function tabs(model, root) {
  const made = tag("div", "anb-tabs");
  const row = tag("div", "anb-tab-row");
  row.setAttribute("role", "tablist");
  const children = model.get("children").map((child) => {
    const pane = tag("div", "anb-tab-pane");
    pane.setAttribute("role", "tabpanel");
    root.draw(child, pane);
    return pane;
  });
  const heads = children.map((_, index) => {
    const head = tag("button", "anb-tab", (model.get("titles") ?? [])[index] ?? `${index + 1}`);
    head.setAttribute("role", "tab");
    head.addEventListener("click", () => model.set("selected_index", index));
    return head;
  });
  const show = () =>
    children.forEach((pane, index) => {
      pane.hidden = index !== (model.get("selected_index") ?? 0);
      heads[index].setAttribute("aria-selected", String(!pane.hidden));
    });
  model.on("change:selected_index", show);
  row.append(...heads);
  made.append(row, ...children);
  show();
  return made;
}

function program(model, root) {
  const made = tag("div", "anb-program");
  const begin = async () => {
    const found = await root.shelf.module(model.get("_esm"));
    const { initialize, render } = typeof found === "function" ? await found() : found;
    model.begun ??= initialize?.({ model }) ?? true;
    await render?.({ model, el: made });
  };
  root.drawing.push(begin().catch(complain));
  return made;
}

// Molecules wait until they are near the window: a browser holds about sixteen 3D views.
function scene(model, root) {
  if (!model.get("anb_scene")) return unknown(model, root);
  const made = tag("div", "anb-pane");
  made.style.height = model.get("_view_height") ?? "360px";
  root.scenes.push({ model, box: made });
  return made;
}

function unknown(model, root) {
  root.still = true;
  return tag("div", "anb-note", `Here the notebook shows a ${model.kind.replace(/Model$/, "")}, which needs a kernel.`);
}

const KINDS = {
  HBoxModel: box("anb-row"),
  VBoxModel: box("anb-column"),
  BoxModel: box("anb-row"),
  GridBoxModel: box("anb-grid"),
  HTMLModel: words,
  LabelModel: words,
  DropdownModel: menuOf,
  SelectionSliderModel: slider,
  IntSliderModel: slider,
  FloatSliderModel: slider,
  CheckboxModel: checkbox,
  ButtonModel: pressed,
  FloatProgressModel: progress,
  IntProgressModel: progress,
  TabModel: tabs,
  AnyModel: program,
  NGLModel: scene,
};

async function molecules({ scenes, el }) {
  const NGL = await (globalThis.anbMolecules ??= loadNGL());
  for (const one of scenes) one.stage = await drawnIn(one.box, one.model, NGL);
  for (const one of scenes) {
    const others = one.model.get("_synced_model_ids") ?? [];
    one.group = [one.model.name, ...others].sort().join();
  }
  for (const group of new Set(scenes.map((one) => one.group))) joinCameras(scenes.filter((one) => one.group === group));
  el.dataset.drawn = "true";
}

function styles({ programs, stored }) {
  const used = new Set(Object.values(stored).map(({ state }) => state._css).filter(Boolean));
  for (const name of used) document.head.append(tag("style", "", programs[name]));
}

const STILL =
  "What is grey asks the kernel and lives in the notebook. So do the words, bars and maps that follow a moment or a choice: " +
  "they stand here as the notebook left them.";

// Whoever moves on must know that not all follows.
function standsStill(el) {
  const note = tag("p", "anb-note", STILL);
  el.prepend(note);
  const moved = () => note.classList.add("anb-moved");
  for (const kind of ["input", "click", "keydown"]) {
    el.addEventListener(kind, (event) => event.target.closest(".anb-player, .anb-plot-canvas, .anb-pane, .anb-control") && moved());
  }
}

async function figureInto(el, figure) {
  const model = new Model({ figure, times_fs: [], frame: -1, atom: -1, atom_axis: "", n_atoms: 0, clicked: {} });
  await Plotting.render({ model, el });
}

async function outputs() {
  const shelf = new Shelf(await (await held("anb-views")).json());
  globalThis.anbShelf = shelf;
  if (document.getElementById("anb-plotly")) await loadPlotly();
  styles(shelf);
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        molecules(target.anbRoot).catch(complain);
      }
    },
    { rootMargin: "400px" },
  );
  for (const el of document.querySelectorAll(".anb-view")) {
    if (el.dataset.figure) {
      await figureInto(el, shelf.figures[Number(el.dataset.figure)]);
      continue;
    }
    const root = new Root(shelf, el);
    el.anbRoot = root;
    root.draw(el.dataset.model, el);
    await Promise.all(root.drawing);
    if (root.still) standsStill(el);
    if (root.scenes.length && Playing.webgl()) near.observe(el);
  }
  document.body.dataset.ready = "true";
}

if (typeof DecompressionStream === "undefined") complain("the browser is too old; one from 2023 or later is needed");
else outputs().catch(complain);
