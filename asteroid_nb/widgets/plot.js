// One plotly figure that follows the time and the atom of its panel and reports clicks. The same program draws it in
// JupyterLab and in an exported page; plotly itself is sent once per kernel, not with every figure.
const LIBRARY = Symbol.for("asteroid_nb.plotly");

async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function library(model) {
  globalThis[LIBRARY] ??= (async () => {
    const held = await model.widget_manager.get_model(model.get("library").slice("IPY_MODEL_".length));
    const box = { exports: {} };
    new Function("module", "exports", await unpack(held.get("code")))(box, box.exports);
    return box.exports;
  })();
  return globalThis[LIBRARY].catch((error) => {
    delete globalThis[LIBRARY];
    throw error;
  });
}

const element = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

// The cells of a delay matrix that hold the time x: row i begins at starts_fs[i] and goes on by dt_fs a cell.
function cells(x, { xref, yref, starts_fs, longest_fs, dt_fs }) {
  const through = (start, row, colour, width) => {
    const line = { color: colour, width };
    return { type: "line", xref, yref, x0: x - start, x1: x - start, y0: row - 0.5, y1: row + 0.5, line };
  };
  return starts_fs.flatMap((start, row) => {
    const holds = x - start > -dt_fs / 2 && x - start < longest_fs + dt_fs / 2;
    return holds ? [through(start, row, "#FFFFFF", 5), through(start, row, "#000000", 2)] : [];
  });
}

// What stands for the present moment and the chosen atom, drawn over whatever the figure holds.
function marks(model, layout) {
  const x = model.get("times_fs")[model.get("frame")];
  const shapes = [...(layout.shapes ?? [])];
  const axes = layout.meta?.time_axes ?? ["x"];
  if (Number.isFinite(x)) {
    for (const xref of axes) {
      const yref = xref.replace("x", "y") + " domain";
      const line = { color: "#D55E00", width: 2, dash: "dot" };
      shapes.push({ type: "line", xref, yref, x0: x, x1: x, y0: 0, y1: 1, line });
    }
    shapes.push(...(layout.meta?.delays ?? []).flatMap((matrix) => cells(x, matrix)));
  }
  const [atom, along] = [model.get("atom"), model.get("atom_axis")];
  if (along && atom >= 0 && atom < model.get("n_atoms")) {
    const span = { [`${along}0`]: atom - 0.5, [`${along}1`]: atom + 0.5 };
    const across = along === "x" ? { yref: "paper", y0: 0, y1: 1 } : { xref: "paper", x0: 0, x1: 1 };
    shapes.push({ type: "rect", ...span, ...across, line: { color: "#D55E00", width: 2 }, fillcolor: "rgba(0,0,0,0)" });
  }
  return shapes;
}

function nearest(values, x) {
  let best = -1;
  values.forEach((value, index) => {
    if (best < 0 || Math.abs(value - x) < Math.abs(values[best] - x)) best = index;
  });
  return best;
}

// The time a point stands for, NaN for none: in a delay matrix it is where the row starts plus the delay.
function timeOf(layout, axis, point) {
  const matrix = (layout.meta?.delays ?? []).find(({ xref }) => xref === axis);
  if (matrix) return matrix.starts_fs[point.y] + point.x;
  return (layout.meta?.time_axes ?? ["x"]).includes(axis) ? point.x : NaN;
}

function clicked(model, layout, point) {
  const axis = point.xaxis?._id ?? "x";
  const time = timeOf(layout, axis, point);
  if (Number.isFinite(time) && model.get("times_fs").length) {
    model.set("frame", nearest(model.get("times_fs"), time));
  }
  const along = model.get("atom_axis");
  const atom = along ? Math.round(point[along]) : -1;
  if (atom >= 0 && atom < model.get("n_atoms")) model.set("atom", atom);
  const count = (model.get("clicked").count ?? 0) + 1;
  const { x, y, z = null, curveNumber } = point;
  // Numbers that came packed would go back as bytes.
  const customdata = ArrayBuffer.isView(point.customdata) ? [...point.customdata] : (point.customdata ?? null);
  model.set("clicked", { x, y, z, customdata, curve: curveNumber, meta: point.data.meta ?? null, axis, count });
  model.save_changes();
}

async function render({ model, el }) {
  const box = element("figure", "anb-plot");
  const canvas = element("div", "anb-plot-canvas");
  const words = element("details", "anb-plot-words");
  const alternative = element("p", "");
  words.append(element("summary", "", "In words"), alternative);
  box.append(canvas, words);
  el.append(box);
  let plotly;
  try {
    plotly = await library(model);
  } catch (error) {
    canvas.textContent = `The plot could not be drawn: ${error.message}. Run the cell again.`;
    canvas.setAttribute("role", "alert");
    return undefined;
  }
  let layout = {};
  let waiting = 0;
  const draw = () => {
    const figure = JSON.parse(model.get("figure"));
    layout = figure.layout;
    alternative.textContent = layout.meta?.alt ?? "";
    box.setAttribute("aria-label", layout.title?.text ?? "figure");
    const config = { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
    plotly.react(canvas, figure.data, { ...layout, autosize: true, shapes: marks(model, layout) }, config);
  };
  const mark = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => plotly.relayout(canvas, { shapes: marks(model, layout) }));
  };
  draw();
  canvas.on("plotly_click", ({ points }) => points.length && clicked(model, layout, points[0]));
  model.on("change:figure", draw);
  model.on("change:frame change:atom change:times_fs change:atom_axis", mark);
  let width = 0;
  const sizes = new ResizeObserver(() => {
    if (canvas.clientWidth && canvas.clientWidth !== width) plotly.Plots.resize(canvas);
    width = canvas.clientWidth;
  });
  sizes.observe(canvas);
  return () => {
    cancelAnimationFrame(waiting);
    sizes.disconnect();
    model.off("change:figure", draw);
    model.off("change:frame change:atom change:times_fs change:atom_axis", mark);
    plotly.purge(canvas);
  };
}

export default { render };
