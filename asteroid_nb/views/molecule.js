// Draws the layers of a scene in an NGL stage and keeps them at the model's frame. The model may be a widget's or an
// exported page's: it has get, set, save_changes, on and off. All frames are in the browser, so a frame costs no message.
const RED = [0.84, 0.1, 0.1];
const MARK = [0.84, 0.37, 0];

async function drawMolecule({ model, stage, NGL, gone }) {
  const scene = model.get("anb_scene");
  const container = stage.viewer.container;
  const layers = [];
  for (const { representations, coloured } of scene.layers) {
    const file = new Blob([scene.mol2], { type: "text/plain" });
    const component = await stage.loadFile(file, { ext: "mol2", defaultRepresentation: false });
    if (gone()) return;
    layers.push({ component, coloured, representations, drawn: [] });
  }
  const size = scene.labels.length;
  const caption = document.createElement("div");
  caption.className = "anb-caption";
  caption.style.cssText =
    "position:absolute;left:6px;bottom:4px;font:12px sans-serif;pointer-events:none;color:#d61a1a;z-index:1;" +
    "background:color-mix(in srgb, var(--jp-layout-color0, white) 75%, transparent);padding:0 4px;border-radius:3px";
  container.append(caption);

  let positions, errors, frames;
  const bytes = (name) => {
    const data = model.get(name);
    return data ? new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)) : new Uint8Array();
  };
  const read = () => {
    positions = new Float32Array(bytes("anb_positions").buffer);
    errors = bytes("anb_errors");
    frames = positions.length / (3 * size * layers.length);
  };
  const frame = () => Math.min(Math.max(model.get("frame"), 0), frames - 1);
  const placed = (layer) => positions.subarray(3 * size * (layer * frames + frame()), 3 * size * (layer * frames + frame() + 1));
  const colours = ({ plain, byError }) => (model.get("colour") === "error" && byError ? byError : plain);

  // What is drawn beside the molecules: broken bonds, links between atoms, the chosen atom.
  let extras = [];
  const point = (place, atom) => [...place.subarray(3 * atom, 3 * atom + 3)];
  const broken = (place) =>
    scene.bonds.filter(([a, b, length]) => {
      const distance = Math.hypot(...point(place, a).map((x, axis) => x - place[3 * b + axis]));
      return !(Math.abs(distance - length) <= scene.break_ang);
    });
  const sticks = (place, triples, colour, thinnest, thickest) => {
    const radius = triples.map(([, , strength]) => thinnest + (thickest - thinnest) * strength);
    const across = triples.map(() => colour).flat();
    return new NGL.CylinderBuffer({
      position1: new Float32Array(triples.flatMap(([a]) => point(place, a))),
      position2: new Float32Array(triples.flatMap(([, b]) => point(place, b))),
      color: new Float32Array(across),
      color2: new Float32Array(across),
      radius: new Float32Array(radius),
    });
  };
  const balls = (place, pairs, colour, opacity) => {
    const data = {
      position: new Float32Array(pairs.flatMap(([atom]) => point(place, atom))),
      color: new Float32Array(pairs.flatMap(() => colour)),
      radius: new Float32Array(pairs.map(([, radius]) => radius)),
    };
    return new NGL.SphereBuffer(data, { opacity, depthWrite: false });
  };
  const mark = () => {
    for (const extra of extras) {
      stage.viewer.remove(extra);
      extra.dispose();
    }
    extras = [];
    const words = [];
    layers.forEach((_, layer) => {
      const place = placed(layer);
      const lost = broken(place);
      if (lost.length) {
        extras.push(sticks(place, lost.map(([a, b]) => [a, b, 1]), RED, 0.16, 0.16));
        const names = lost.slice(0, 4).map(([a, b]) => `${scene.labels[a]}–${scene.labels[b]}`);
        words.push(`${scene.names[layer]} broken: ${names.join(", ")}${lost.length > 4 ? ` and ${lost.length - 4} more` : ""}`.trim());
      }
    });
    const main = placed(layers.length - 1);
    const inside = ([a, b]) => a < size && b < size;
    const links = (model.get("anb_links") ?? []).filter(inside);
    const between = links.filter(([a, b]) => a !== b);
    const own = links.filter(([a, b]) => a === b);
    if (between.length) extras.push(sticks(main, between, MARK, 0.02, 0.18));
    if (own.length) extras.push(balls(main, own.map(([a, , strength]) => [a, 0.35 + 0.5 * strength]), MARK, 0.55));
    const atom = model.get("atom");
    if (atom >= 0 && atom < size) extras.push(balls(main, [[atom, 0.62]], [0, 0.45, 0.7], 0.4));
    for (const extra of extras) stage.viewer.add(extra);
    caption.textContent = words.join(" · ");
    caption.hidden = !words.length;
    stage.viewer.requestRender();
  };
  const show = () => {
    let table = 0;
    layers.forEach(({ component, coloured }, layer) => {
      component.structure.updatePosition(placed(layer), false);
      if (coloured && errors.length) {
        const first = size * (table * frames + frame());
        component.structure.atomStore.bfactor.set(errors.subarray(first, first + size));
        table += 1;
      }
      component.updateRepresentations({ position: true, color: coloured && errors.length > 0 });
    });
    mark();
  };
  const recolour = () => {
    for (const { drawn, representations } of layers) {
      drawn.forEach((element, index) => element.setParameters(colours(representations[index])));
    }
  };
  // The matrix is meant for a pane wider than high; a narrow one steps back. In steps of 16 pixels, so that panes of
  // one row, which may differ by a pixel, stand equally far away.
  const look = () => {
    const share = (Math.floor(container.clientWidth / 16) * 16) / container.clientHeight;
    const back = share > 0 ? Math.max(1, 1 / share) : 1;
    stage.viewerControls.orient(model.get("anb_orientation").map((value, i) => (i < 12 ? value * back : value)));
  };
  const pick = (proxy) => {
    if (gone()) return;
    const atom = proxy?.atom ?? proxy?.closestBondAtom;
    model.set("atom", atom ? atom.index : -1);
    model.save_changes();
  };
  const renew = () => (read(), show());

  read();
  for (const layer of layers) {
    layer.drawn = layer.representations.map((one) =>
      layer.component.addRepresentation(one.type, { ...one.params, ...colours(one) }),
    );
  }
  show();
  look();
  stage.mouseControls.remove("clickPick-left"); // NGL would move this pane's camera alone
  stage.signals.clicked.add(pick);
  const answers = {
    anb_orientation: look,
    frame: show,
    colour: recolour,
    atom: mark,
    anb_links: mark,
    anb_positions: renew,
    anb_errors: renew,
  };
  for (const [name, answer] of Object.entries(answers)) model.on(`change:${name}`, answer);
  return () => {
    for (const [name, answer] of Object.entries(answers)) model.off(`change:${name}`, answer);
  };
}
