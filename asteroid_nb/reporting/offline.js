// What every page that plays from disk is made of: small models without a kernel, libraries unpacked from the page itself,
// molecules in a stage of their own.
class Model {
  constructor(values) {
    this.values = values;
    this.hearers = new Map();
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const hearer of this.hearers.get(`change:${name}`) ?? []) hearer();
  }
  save_changes() {}
  on(names, hearer) {
    for (const name of names.split(" ")) this.hearers.set(name, [...(this.hearers.get(name) ?? []), hearer]);
  }
  off(names, hearer) {
    for (const name of names.split(" ")) {
      const left = (this.hearers.get(name) ?? []).filter((one) => one !== hearer);
      this.hearers.set(name, left);
    }
  }
}

function link(hub, model, names) {
  for (const name of names) {
    model.set(name, hub.get(name));
    hub.on(`change:${name}`, () => model.set(name, hub.get(name)));
    model.on(`change:${name}`, () => hub.set(name, model.get(name)));
  }
}

const tag = (name, className = "", text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

function complain(error) {
  const place = document.getElementById("anb-complaints");
  place.append(tag("p", "anb-alert", `Something on this page failed: ${error.message ?? error}`));
}

async function held(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream);
}

async function loadPlotly() {
  const box = { exports: {} };
  new Function("module", "exports", await (await held("anb-plotly")).text())(box, box.exports);
  globalThis[Symbol.for("asteroid_nb.plotly")] = Promise.resolve(box.exports);
}

// NGL comes in NGLView's bundle for classic notebooks, which asks for the widgets' base classes and for its own address.
async function loadNGL() {
  const code = await (await held("anb-nglview")).text();
  const nothing = class {};
  const base = { DOMWidgetView: nothing, DOMWidgetModel: nothing, WidgetModel: nothing, WidgetView: nothing };
  let bundle;
  const define = (_, factory) => (bundle = factory(base));
  const known = "importScripts" in globalThis;
  if (!known) globalThis.importScripts = true;
  new Function("define", code)(define);
  if (!known) delete globalThis.importScripts;
  globalThis.anbTake = (found) => (globalThis.anbNGL = found);
  bundle.NGLView.prototype.executeCode.call({}, "globalThis.anbTake(NGL)");
  return globalThis.anbNGL;
}

const view = (array) => new DataView(array.buffer, array.byteOffset, array.byteLength);

// A molecule of a model in a box of the page; the stage that draws it comes back.
async function drawnIn(box, model, NGL) {
  const scene = model.get("anb_scene");
  const stage = new NGL.Stage(box, { tooltip: true });
  const paper = getComputedStyle(document.body).getPropertyValue("--jp-layout-color0").trim();
  stage.setParameters({ ...scene.stage, backgroundColor: scene.background || paper });
  new ResizeObserver(() => stage.handleResize()).observe(box);
  await drawMolecule({ model, stage, NGL, gone: () => false });
  return stage;
}

function joinCameras(panes) {
  let hand = null;
  for (const each of panes) {
    each.box.addEventListener("pointerenter", () => (hand = each));
    each.stage.viewerControls.signals.changed.add(() => {
      if (hand !== each) return;
      const turned = each.stage.viewerControls.getOrientation();
      for (const other of panes) if (other !== each) other.stage.viewerControls.orient(turned);
    });
  }
}
