// Runs once in every browser view of a scene (`this` is NGLView's NGLView) and draws from the model's own traits, so
// that a second view of the same widget and a reloaded page start in the same way.
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
  let deaf = () => {};
  this.once("remove", () => {
    gone = true;
    deaf();
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

  deaf = (await drawMolecule({ model, stage, NGL, gone: () => gone })) ?? deaf;
})();
