// What a person sees of the panels with these ids: Grafana marks a panel by its id, from 11.1 on by a key.
async (ids) => {
  const BEYOND = 1.5; // pixels that rounding may make
  const LEAST = 8; // pixels of a letter that can be read: Grafana makes a number as small as its panel

  // A frame without height may hold what is placed outside of it; one of a pixel that hides the rest is for screen readers.
  const shown = (element) => {
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const tiny = box.width <= 1 || box.height <= 1;
    return style.visibility !== "hidden" && style.opacity !== "0" && !(tiny && style.overflow === "hidden");
  };

  const ancestors = (element, root) => {
    const found = [];
    for (let one = element; one && one !== root.parentElement; one = one.parentElement) found.push(one);
    return found;
  };

  // Whether the text is too small, or a part of it hidden by a frame, or outside of the panel. What scrolls downwards shows the rest to
  // whoever scrolls; sideways nobody does.
  const isCut = (text, root) => {
    if (parseFloat(getComputedStyle(text.parentElement).fontSize) < LEAST) return true;
    const range = document.createRange();
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    let scrollsDown = false;
    for (const one of ancestors(text.parentElement, root)) {
      const style = getComputedStyle(one);
      const frame = one.getBoundingClientRect();
      const frames = one === root || style.overflowX !== "visible";
      if (frames && (box.right > frame.right + BEYOND || box.left < frame.left - BEYOND)) return true;
      scrollsDown ||= ["auto", "scroll"].includes(style.overflowY);
      if (!scrollsDown && style.overflowY !== "visible" && box.top + box.height / 2 > frame.bottom) return true;
    }
    return false;
  };

  const texts = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) if (walker.currentNode.textContent.trim()) found.push(walker.currentNode);
    return found.filter((text) => text.parentElement.closest("style, script") === null && ancestors(text.parentElement, root).every(shown));
  };

  const panel = (id) => {
    const root = document.querySelector(`[data-viz-panel-key="panel-${id}"], [data-panelid="${id}"]`);
    if (!root) return { id, there: false };
    const title = root.querySelector("h2, h6");
    const status = root.querySelector('[data-testid="data-testid Panel status error"], button[aria-label="Panel status"]');
    const body = texts(root).filter((text) => !title || !title.contains(text));
    const box = root.getBoundingClientRect();
    return {
      id,
      there: true,
      loading: root.querySelector('[aria-label="Panel loading bar"], [data-testid="Panel loading bar"]') !== null,
      drawn: body.length > 0 || root.querySelector("canvas, svg.visx-group") !== null,
      error: status !== null,
      title_cut: title !== null && title.scrollWidth > title.clientWidth,
      said: body.map((text) => text.textContent.trim()).join(" "),
      cut: body.filter((text) => isCut(text, root)).map((text) => text.textContent.trim()),
      hrefs: [...root.querySelectorAll("a[href]")].map((link) => link.getAttribute("href")),
      box: [box.left, box.top, box.width, box.height].map(Math.round),
    };
  };

  // Two frames later whatever a narrower or wider window has set in motion has begun to move.
  for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
  const moving = document.getAnimations().some((one) => one instanceof CSSTransition && one.playState === "running");
  return { panels: ids.map(panel), width: window.innerWidth, moving };
}
