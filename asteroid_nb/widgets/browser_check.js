const REMEDY = [
  "Chrome, Edge: switch on \u201cUse graphics acceleration\u201d in the settings under System, restart the browser, " +
    "look at chrome://gpu.",
  "Firefox: open about:config, set webgl.disabled to false, look at about:support.",
  "Remote desktop or virtual machine: use the browser of your own computer, or start Chrome with " +
    "--enable-unsafe-swiftshader.",
  "If a policy forbids WebGL, ask whoever looks after this computer.",
].join("\n");

// Names under which browsers draw WebGL without a graphics card.
const BY_PROCESSOR = /swiftshader|llvmpipe|softpipe|software|basic render/i;

const STYLE =
  "margin:0; padding:4px 8px; border-left:4px solid; white-space:pre-line; line-height:1.5; " +
  "font-size:var(--jp-content-font-size1, 14px); color:var(--jp-content-font-color1, inherit);";

function render({ model, el }) {
  const line = document.createElement("p");
  line.className = "anb-webgl";
  line.style.cssText = STYLE;
  const found = lookForWebGL();
  line.setAttribute("role", found.webgl ? "status" : "alert");
  line.style.borderLeftColor = found.webgl ? "transparent" : "#D55E00";
  el.append(line);
  // A screen reader announces what changes in a line that is there already.
  requestAnimationFrame(() => { line.textContent = words(found); });
  for (const [name, value] of Object.entries(found)) model.set(name, value);
  model.save_changes();
}

function lookForWebGL() {
  let problem = "";
  for (const [webgl, name] of [[2, "webgl2"], [1, "webgl"]]) {
    const canvas = document.createElement("canvas");
    canvas.addEventListener("webglcontextcreationerror", (event) => { problem = event.statusMessage || problem; });
    const context = canvas.getContext(name);
    if (context) return { webgl, renderer: release(context), problem: "" };
  }
  return { webgl: 0, renderer: "", problem };
}

// Browsers hold about sixteen contexts: this one must not push a molecule out.
function release(context) {
  const told = context.getExtension("WEBGL_debug_renderer_info");
  const renderer = context.getParameter(told ? told.UNMASKED_RENDERER_WEBGL : context.RENDERER);
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return String(renderer ?? "");
}

function words({ webgl, renderer, problem }) {
  if (!webgl) {
    const said = problem ? ` The browser says: ${problem}.` : "";
    return `Browser: broken. WebGL does not work here, so no molecule can be drawn.${said}\n${REMEDY}`;
  }
  const slow = BY_PROCESSOR.test(renderer)
    ? " No graphics card is used: small molecules are smooth, large ones slow. If this computer has one, " +
      "switch on hardware acceleration in the browser's settings."
    : "";
  return `Browser: ${slow ? "warning" : "ok"}. WebGL ${webgl} works, drawn by ${renderer || "an unnamed device"}.${slow}`;
}

export default { render };
