// Play, pause, step, speed, loop and a slider in time, for a whole panel: everything in the browser, so that it works while
// the kernel is busy and in an exported page. Space plays, arrows step, wherever in the panel the keyboard is.
const SPEEDS = [0.25, 0.5, 1, 2, 4];
const BASE_INTERVAL_MS = 80;

const make = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

const button = (icon, label, act) => {
  const made = make("button", "anb-button", icon);
  made.type = "button";
  made.title = label;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
};

// Times of a forecast are read in fs, also where they pass 1 ps; those of a long simulation are not.
const LONG_FS = 1e5;
const UNITS = [
  ["µs", 1e9],
  ["ns", 1e6],
  ["ps", 1e3],
];

// One unit for all times of a player.
function unitOf(times) {
  const longest = times.reduce((most, time) => Math.max(most, Math.abs(time)), 0);
  return (longest >= LONG_FS && UNITS.find(([, fs]) => longest >= fs)) || ["fs", 1];
}

function timeText(time, signed, [name, fs]) {
  const rounded = Number((time / fs).toPrecision(6));
  const sign = rounded < 0 ? "−" : signed && rounded > 0 ? "+" : "";
  return `${sign}${Math.abs(rounded)} ${name}`;
}

const last = (model) => model.get("times_fs").length - 1;

function go(model, frame) {
  const end = last(model);
  const wrapped = model.get("loop") ? (frame + end + 1) % (end + 1) : Math.min(Math.max(frame, 0), end);
  model.set("frame", wrapped);
  model.save_changes();
}

function toggle(model) {
  const playing = !model.get("playing");
  if (playing && !model.get("loop") && model.get("frame") >= last(model)) model.set("frame", 0);
  model.set("playing", playing);
  model.save_changes();
}

function step(model, by) {
  model.set("playing", false);
  go(model, model.get("frame") + by);
}

// One clock for all views of a player.
function initialize({ model }) {
  let clock = 0;
  const tick = () => {
    if (!model.get("loop") && model.get("frame") >= last(model)) {
      model.set("playing", false);
      model.save_changes();
      return;
    }
    go(model, model.get("frame") + 1);
  };
  const wind = () => {
    clearInterval(clock);
    if (model.get("playing") && last(model) > 0) clock = setInterval(tick, BASE_INTERVAL_MS / model.get("speed"));
  };
  for (const name of ["playing", "speed"]) model.on(`change:${name}`, wind);
  wind();
  return () => clearInterval(clock);
}

const KEYS = {
  " ": toggle,
  ArrowRight: (model) => step(model, 1),
  ArrowLeft: (model) => step(model, -1),
  Home: (model) => step(model, -model.get("frame")),
  End: (model) => step(model, last(model) - model.get("frame")),
};

function panelOf(el) {
  let panel = el.closest(".anb-panel");
  for (let outer = panel; outer; outer = outer.parentElement?.closest(".anb-panel")) panel = outer;
  return panel;
}

// JupyterLab takes keys for itself, except within elements that carry this attribute.
function listen(model, panel) {
  const typing = "input:not(.anb-time), select, textarea, button, summary, [contenteditable=true], [role=tab]";
  const press = (event) => {
    const act = KEYS[event.key];
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    if (!act || !plain || event.defaultPrevented || event.target.closest(typing)) return;
    event.preventDefault();
    event.stopPropagation();
    act(model);
  };
  panel.dataset.lmSuppressShortcuts = "true";
  if (!panel.hasAttribute("tabindex")) panel.tabIndex = 0;
  if (!panel.hasAttribute("role")) panel.setAttribute("role", "group");
  if (!panel.hasAttribute("aria-label")) panel.setAttribute("aria-label", "Linked views. Space plays, arrow keys step.");
  panel.addEventListener("keydown", press);
  return () => panel.removeEventListener("keydown", press);
}

export function webgl() {
  try {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

// In place of blank boxes: what is missing, what still works, what to do.
function explainWithout3D(el, panel) {
  const words =
    "This browser draws no 3D: WebGL is switched off or missing, so the molecules cannot be shown. Plots and numbers " +
    "still work. Switch on hardware acceleration in the browser's settings, or open the page in another browser.";
  const message = make("div", "anb-alert", words);
  message.setAttribute("role", "alert");
  el.prepend(message);
  panel?.classList.add("anb-without-3d");
}

function slider(model) {
  const made = make("input", "anb-time");
  made.type = "range";
  made.min = 0;
  made.step = 1;
  made.setAttribute("aria-label", "time");
  made.addEventListener("input", () => {
    model.set("frame", Number(made.value));
    model.save_changes();
  });
  return made;
}

function speeds(model) {
  const made = make("select", "anb-speed");
  made.setAttribute("aria-label", "speed");
  made.title = "speed";
  for (const speed of SPEEDS) {
    const option = make("option", "", `${speed}×`);
    option.value = speed;
    made.append(option);
  }
  made.addEventListener("change", () => {
    model.set("speed", Number(made.value));
    model.save_changes();
  });
  return made;
}

// What atoms are coloured by, if there is a choice.
function colours(model) {
  const label = make("label", "anb-colours", "colours ");
  const choice = make("select", "anb-speed");
  choice.addEventListener("change", () => {
    model.set("colour", choice.value);
    model.save_changes();
  });
  label.append(choice);
  const fill = () => {
    const offered = model.get("colours");
    choice.replaceChildren(...offered.map((name) => make("option", "", name)));
    choice.value = model.get("colour");
    label.hidden = offered.length < 2;
  };
  return { label, fill };
}

function looping(model) {
  const label = make("label", "anb-loop");
  const box = make("input", "");
  box.type = "checkbox";
  box.addEventListener("change", () => {
    model.set("loop", box.checked);
    model.save_changes();
  });
  label.append(box, " loop");
  return { label, box };
}

function boundary(model) {
  const row = make("div", "anb-boundary");
  const words = [make("span", "", "history"), make("span", "", "forecast")];
  row.append(...words);
  const place = () => {
    row.hidden = !model.get("marked");
    words[1].style.left = `${(100 * model.get("present")) / Math.max(1, last(model))}%`;
  };
  return { row, place };
}

function render({ model, el }) {
  const play = button("▶", "play (space)", () => toggle(model));
  const back = button("◂", "one frame back (left arrow)", () => step(model, -1));
  const on = button("▸", "one frame on (right arrow)", () => step(model, 1));
  const [time, speed, loop, mark] = [slider(model), speeds(model), looping(model), boundary(model)];
  const colour = colours(model);
  const readout = make("output", "anb-readout");
  const track = make("div", "anb-track");
  const row = make("div", "anb-player");
  track.append(time, mark.row);
  row.append(back, play, on, track, readout, speed, loop.label, colour.label);
  el.append(row);
  const show = () => {
    const times = model.get("times_fs");
    time.max = last(model);
    time.value = model.get("frame");
    const text = timeText(times[model.get("frame")] ?? 0, model.get("marked"), unitOf(times));
    readout.textContent = text;
    time.setAttribute("aria-valuetext", text);
    const share = (100 * model.get("present")) / Math.max(1, last(model));
    time.style.setProperty("--anb-present", model.get("marked") ? `${share}%` : "100%");
    const playing = model.get("playing");
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "pause (space)" : "play (space)");
    play.title = playing ? "pause (space)" : "play (space)";
    speed.value = String(model.get("speed"));
    loop.box.checked = model.get("loop");
    mark.place();
    colour.fill();
  };
  const names = ["frame", "times_fs", "present", "marked", "playing", "speed", "loop", "colour", "colours"];
  for (const name of names) model.on(`change:${name}`, show);
  show();
  let deaf;
  const attached = new ResizeObserver(() => {
    const panel = panelOf(el) ?? el;
    if (deaf || !el.isConnected) return;
    deaf = listen(model, panel);
    if (!webgl()) explainWithout3D(el, el.closest(".anb-panel"));
  });
  attached.observe(el);
  return () => {
    attached.disconnect();
    deaf?.();
    for (const name of names) model.off(`change:${name}`, show);
  };
}

export default { initialize, render };
