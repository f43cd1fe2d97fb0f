// A run as a page: its windows, figures and attention, linked by one hub.
// A labelled drop-down; `chosen` hears the new index.
function menu(label, options, chosen) {
  const box = tag("label", "anb-menu", `${label} `);
  const select = tag("select", "anb-speed");
  options.forEach((option, index) => {
    const made = tag("option", "", option);
    made.value = index;
    select.append(made);
  });
  select.addEventListener("change", () => chosen(Number(select.value)));
  box.append(select);
  return { box, select };
}

function plot(into, hub, figure, { time = false, atoms = 0, along = "" } = {}) {
  const model = new Model({
    figure: JSON.stringify(figure),
    times_fs: time ? hub.get("times_fs") : [],
    frame: hub.get("frame"),
    atom: hub.get("atom"),
    atom_axis: along,
    n_atoms: atoms,
    clicked: {},
  });
  link(hub, model, ["frame", "atom"]);
  Plotting.render({ model, el: into }).catch(complain);
  return { model, show: (next) => model.set("figure", JSON.stringify(next)) };
}

// Positions travel as steps of so many Å around a centre, for each window reference and forecast.
class Windows {
  constructor(page, bytes) {
    this.page = page;
    this.frames = page.times_fs.length;
    this.size = this.frames * page.scene.labels.length;
    const n = page.windows.length;
    const steps = new Int16Array(bytes, 0, n * 2 * this.size * 3);
    this.steps = steps;
    this.errors = new Uint8Array(bytes, steps.byteLength, n * this.size);
  }
  positions(window, which) {
    const [from, length] = [(window * 2 + which) * this.size * 3, this.size * 3];
    const { centre } = this.page.windows[window];
    return Float32Array.from(this.steps.subarray(from, from + length), (step, i) => step * this.page.step_ang + centre[i % 3]);
  }
  error(window) {
    return this.errors.slice(window * this.size, (window + 1) * this.size);
  }
}

async function pane(into, title, role, NGL, page, values) {
  const [heading, name] = [tag("h2", "anb-pane-title"), tag("span", "", title)];
  heading.append(name, tag("span", "anb-role", ` ${role}`));
  const box = tag("div", "anb-pane");
  const outer = tag("div", "anb-pane-box");
  outer.append(heading, box);
  into.append(outer);
  const model = new Model({ anb_scene: page.scene, anb_links: [], ...values });
  return { model, stage: await drawnIn(box, model, NGL), box, name };
}

async function molecules(page, hub, windows) {
  const NGL = await loadNGL();
  const into = document.getElementById("anb-panes");
  const first = hub.get("window");
  const values = (which) => ({
    frame: hub.get("frame"),
    atom: -1,
    colour: "element",
    anb_orientation: page.windows[first].matrix,
    anb_positions: view(windows.positions(first, which)),
    anb_errors: which ? view(windows.error(first)) : null,
  });
  const panes = [];
  for (const which of [0, 1]) {
    panes.push(await pane(into, page.windows[first].names[which], ["reference", "forecast"][which], NGL, page, values(which)));
  }
  joinCameras(panes);
  panes.forEach(({ model, name }, which) => {
    link(hub, model, ["frame", "atom", ...(which ? ["colour"] : [])]); // the reference has no error to colour
    hub.on("change:window", () => {
      const window = hub.get("window");
      if (which) model.values.anb_errors = view(windows.error(window)); // drawn with the positions, once
      model.set("anb_positions", view(windows.positions(window, which)));
      model.set("anb_orientation", page.windows[window].matrix);
      name.textContent = page.windows[window].names[which];
    });
    hub.on("change:links", () => model.set("anb_links", hub.get("links")));
  });
}

function windowMenu(page, hub) {
  const into = document.getElementById("anb-window");
  const labels = page.windows.map(({ label }) => label);
  const { box, select } = menu("window", labels, (index) => hub.set("window", index));
  const told = tag("p", "anb-told");
  into.append(box, told);
  const show = () => {
    select.value = hub.get("window");
    told.textContent = page.windows[hub.get("window")].told;
  };
  hub.on("change:window", show);
  show();
}

// Figures made beforehand, one for each combination of choices.
function chosenFigures(section, hub, panel) {
  const chosen = panel.controls.map(() => 0);
  const row = tag("div", "anb-controls");
  const place = tag("div", "");
  section.append(row, place);
  const figure = () => panel.figures[chosen.join("|")];
  const drawn = plot(place, hub, figure(), panel);
  panel.controls.forEach(({ label, options }, at) => {
    const { box } = menu(label, options, (index) => {
      chosen[at] = index;
      drawn.show(figure());
    });
    row.append(box);
  });
}

// The bars belong to a lead time, which follows the player.
function barsOfFrame(section, hub, panel) {
  const place = tag("div", "");
  section.append(place);
  const lead = () => Math.min(Math.max(hub.get("frame") - hub.get("present") - 1, 0), panel.figures.length - 1);
  const drawn = plot(place, hub, panel.figures[lead()], panel);
  hub.on("change:frame", () => drawn.show(panel.figures[lead()]));
}

function heatmap(section, hub, panel, page) {
  const place = tag("div", "");
  const note = tag("p", "anb-told", panel.note);
  section.append(place, note);
  const drawn = plot(place, hub, panel.figure, panel);
  drawn.model.on("change:clicked", () => {
    const row = drawn.model.get("clicked").customdata?.[0];
    const found = page.windows.findIndex(({ index }) => index === row);
    if (found >= 0) hub.set("window", found);
  });
}

// Figures that belong to one window; the page holds them for some.
function windowFigures(section, hub, panel, page) {
  const row = tag("div", "anb-controls");
  const place = tag("div", "");
  const missing = tag("p", "anb-told");
  section.append(row, missing, place);
  const known = panel.windows;
  const goto = menu("window", known.map(({ window }) => page.windows[window].label), (at) =>
    hub.set("window", known[at].window),
  );
  row.append(goto.box);
  const of = () => known.findIndex(({ window }) => window === hub.get("window"));
  const notice = () => {
    const at = of();
    missing.textContent = at < 0 ? `Kept on this page for ${known.length} windows only; this is one of them:` : "";
    if (at >= 0) goto.select.value = at;
    return at;
  };
  return { row, place, notice };
}

function delay(section, hub, panel, page) {
  const { row, place, notice } = windowFigures(section, hub, panel, page);
  let [at, axis] = [Math.max(notice(), 0), 0];
  const atom = () => Math.max(hub.get("atom"), 0);
  const figure = () => panel.windows[at].figures[atom()][axis];
  const drawn = plot(place, hub, figure(), { time: true });
  const show = () => drawn.show(figure());
  const atoms = menu("atom", page.scene.labels, (index) => hub.set("atom", index));
  const axes = menu("axis", ["x", "y", "z"], (index) => ((axis = index), show()));
  row.append(atoms.box, axes.box);
  hub.on("change:atom", () => ((atoms.select.value = atom()), show()));
  hub.on("change:window", () => {
    const found = notice();
    if (found >= 0) at = found;
    show();
  });
}

// Attention as it was recorded: [each, heads, queries, keys] of every layer, shown in a figure made beforehand.
function attention(section, hub, panel, page) {
  const { row, place, notice } = windowFigures(section, hub, panel, page);
  const words = tag("p", "anb-told");
  section.append(words);
  const n = page.scene.labels.length;
  let at = Math.max(notice(), 0);
  const pick = { record: 0, head: 0, each: 0 };
  const record = () => panel.records[pick.record];
  const weights = () => {
    const [each, heads, queries, keys] = record().shape;
    const flat = panel.windows[at].weights[pick.record];
    const of = (head) => Array.from({ length: queries }, (_, q) =>
      flat.slice(((pick.each * heads + head) * queries + q) * keys, ((pick.each * heads + head) * queries + q + 1) * keys),
    );
    if (pick.head) return of(pick.head - 1);
    const all = Array.from({ length: heads }, (_, head) => of(head));
    return all[0].map((line, q) => line.map((_, k) => all.reduce((sum, one) => sum + one[q][k], 0) / heads));
  };
  const figure = () => {
    const { template, labels } = record();
    const z = weights();
    const top = z.reduce((most, line) => Math.max(most, ...line), 0) || 1;
    const head = pick.head ? `head ${pick.head}` : "mean over heads";
    const title = { ...template.layout.title, text: `${record().name}, ${head}, ${labels.each_name} ${labels.each[pick.each]}` };
    const most = z.map((line, q) => [labels.queries[q], line.indexOf(Math.max(...line)), Math.max(...line)]);
    const alt = `Heat map of attention weights. Each looks most: ${most
      .map(([query, key, weight]) => `${query} at ${labels.keys[key]} (${weight.toFixed(2)})`).join(", ")}.`;
    const layout = { ...template.layout, title, meta: { ...template.layout.meta, alt } };
    const seen = z.map((line) => line.map((weight) => weight || null)); // masked pairs stay blank
    return { data: [{ ...template.data[0], z: seen, zmax: top }], layout };
  };
  const drawn = plot(place, hub, figure(), { atoms: n, along: record().along });
  const queries = menu("looking", ["none", ...page.scene.labels], (index) => hub.set("atom", index - 1));
  const link3D = () => {
    const query = hub.get("atom");
    if (panel.windows[at].window !== hub.get("window")) {
      words.textContent = "Sticks in 3D are drawn for the windows of this menu alone.";
      hub.set("links", []);
      return;
    }
    if (query < 0 || !record().atoms) {
      words.textContent = record().atoms
        ? "Choose an atom, here or in 3D: sticks show whom it looks at."
        : "These weights are between times of one atom: there is nothing to draw between atoms.";
      hub.set("links", []);
      return;
    }
    const maps = weights();
    const top = maps.reduce((most, row) => Math.max(most, ...row), 0) || 1; // as in the colours of the map
    const line = maps[query].slice(0, n);
    hub.set("links", line.map((weight, key) => [query, key, weight / top]).filter(([, , strength]) => strength > 0.03));
    const order = line.map((weight, key) => [weight, key]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const said = order.map(([weight, key]) => `${page.scene.labels[key]} (${weight.toFixed(2)})`).join(", ");
    words.textContent = `${page.scene.labels[query]} looks mostly at ${said}. Sticks in 3D show the same.`;
  };
  const show = () => (drawn.show(figure()), link3D());
  const refill = ({ select }, options) => {
    select.replaceChildren(...options.map((text, index) => Object.assign(tag("option", "", text), { value: index })));
    select.value = 0;
  };
  const heads = menu("head", [], (index) => ((pick.head = index), show()));
  const each = menu("time", [], (index) => ((pick.each = index), show()));
  const kinds = menu("layer", panel.records.map(({ name }) => name), (index) => ((pick.record = index), fit(), show()));
  const fit = () => {
    [pick.head, pick.each] = [0, 0];
    refill(heads, ["mean over heads", ...Array.from({ length: record().shape[1] }, (_, head) => `head ${head + 1}`)]);
    refill(each, record().labels.each);
    each.box.firstChild.textContent = `${record().labels.each_name} `;
    drawn.model.set("atom_axis", record().along);
  };
  row.append(kinds.box, heads.box, each.box, queries.box);
  fit();
  hub.on("change:atom", () => ((queries.select.value = hub.get("atom") + 1), link3D()));
  hub.on("change:window", () => {
    const found = notice();
    if (found >= 0) at = found;
    show();
  });
  show();
}

const PANELS = { figures: chosenFigures, bars: barsOfFrame, heatmap, delay, attention };

async function start() {
  const page = await (await held("anb-page")).json();
  const windows = new Windows(page, await (await held("anb-windows")).arrayBuffer());
  const hub = new Model({
    times_fs: page.times_fs,
    present: page.present,
    frame: page.present,
    marked: true,
    atom: -1,
    window: 0,
    links: [],
    playing: false,
    speed: 1,
    loop: false,
    colour: "error",
    colours: ["element", "error"],
  });
  globalThis.anbHub = hub;
  windowMenu(page, hub);
  Playing.initialize({ model: hub });
  Playing.render({ model: hub, el: document.getElementById("anb-player") });
  if (Playing.webgl()) await molecules(page, hub, windows).catch(complain);
  await loadPlotly();
  for (const panel of page.panels) {
    const section = tag("section", "anb-section");
    document.getElementById("anb-sections").append(section);
    try {
      if (panel.missing) section.append(tag("h2", "", panel.title), tag("p", "anb-alert", panel.missing));
      else PANELS[panel.kind](section, hub, panel, page);
    } catch (error) {
      complain(error);
    }
  }
  document.body.dataset.ready = "true";
}

if (typeof DecompressionStream === "undefined") complain("the browser is too old; one from 2023 or later is needed");
else start().catch(complain);
