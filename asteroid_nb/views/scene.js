// Runs once in every browser view of a scene (`this` is NGLView's NGLView) and draws from the model's own traits, so
// that a second view of the same widget, a reloaded page and an exported page start in the same way. All frames are in
// the browser: a frame costs no message.
(async () => {
  if (this.anbScene) return;
  this.anbScene = true;
  const { model, stage } = this;
  const scene = model.get("anb_scene");
  const container = stage.viewer.container;

  // Panes side by side keep one size and follow the notebook's width.
  if (this.$container.resizable("instance")) this.$container.resizable("destroy");
  container.style.width = "100%";
  const sizes = new ResizeObserver(() => stage.handleResize());
  sizes.observe(container);

  this.$pickingInfo.css({ background: "transparent", color: "inherit" });

  const paper = () => {
    const theme = getComputedStyle(document.body).getPropertyValue("--jp-layout-color0").trim();
    stage.setParameters({ backgroundColor: scene.background || theme || "white" });
  };
  stage.setParameters(scene.stage);
  paper();
  const themes = new MutationObserver(() => setTimeout(paper, 50));
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });

  // A browser allows about 16 WebGL contexts and NGLView never returns one: do it when the output is cleared.
  let gone = false;
  this.once("remove", () => {
    gone = true;
    sizes.disconnect();
    themes.disconnect();
    // NGL cannot take back what it has begun: it draws nothing more, and ends once its last task is done.
    stage.viewer.render = stage.viewer.requestRender = () => {};
    const end = () => {
      stage.dispose();
      stage.viewer.renderer.forceContextLoss();
    };
    stage.tasks.onZeroOnce(() => setTimeout(end));
  });

  const file = new Blob([scene.mol2], { type: "text/plain" });
  const component = await stage.loadFile(file, { ext: "mol2", defaultRepresentation: false });
  if (gone) return;
  const { structure } = component;
  const bytes = (name) => {
    const data = model.get(name);
    return data ? new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)) : new Uint8Array();
  };
  let positions, errors;
  const read = () => {
    positions = new Float32Array(bytes("anb_positions").buffer);
    errors = bytes("anb_errors");
  };
  const show = () => {
    const size = structure.atomCount;
    const frame = Math.min(model.get("frame"), positions.length / (3 * size) - 1);
    structure.updatePosition(positions.subarray(3 * size * frame, 3 * size * (frame + 1)), false);
    if (errors.length) structure.atomStore.bfactor.set(errors.subarray(size * frame, size * (frame + 1)));
    component.updateRepresentations({ position: true, color: errors.length > 0 });
  };
  read();
  for (const { type, params } of scene.representations) component.addRepresentation(type, params);
  show();
  // The matrix is meant for a pane wider than high; a narrow one steps back. In steps of 16 pixels, so that panes of
  // one row, which may differ by a pixel, stand equally far away.
  const look = () => {
    const share = Math.floor(container.clientWidth / 16) * 16 / container.clientHeight;
    const back = share > 0 ? Math.max(1, 1 / share) : 1;
    stage.viewerControls.orient(model.get("anb_orientation").map((value, i) => (i < 12 ? value * back : value)));
  };
  look();
  this.listenTo(model, "change:anb_orientation", look);
  this.listenTo(model, "change:frame", show);
  this.listenTo(model, "change:anb_positions change:anb_errors", () => (read(), show()));
})();
