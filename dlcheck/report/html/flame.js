// A flame graph, outermost call on top: as wide as the time spent in it. A click shows one call across the width.

const ROW_PX = 19;

function flame(host, root) {
  const depthOf = (node) => 1 + Math.max(0, ...node[2].map(depthOf));
  const draw = (path) => {
    host.replaceChildren();
    const top = path[path.length - 1];
    path.slice(0, -1).forEach((node, level) => host.append(box(node, 0, 1, level, path.slice(0, level + 1), root[1], draw)));
    layer(host, top, 0, 1, path.length - 1, path, root[1], draw);
    host.style.height = (path.length - 1 + depthOf(top)) * ROW_PX + "px";
  };
  draw([root]);
}

function layer(host, node, left, width, level, path, total, draw) {
  if (width < 0.001) return;
  host.append(box(node, left, width, level, path, total, draw));
  let at = left;
  for (const child of node[2]) {
    const share = (child[1] / Math.max(1, node[1])) * width;
    layer(host, child, at, share, level + 1, [...path, child], total, draw);
    at += share;
  }
}

function box([name, ns], left, width, level, path, total, draw) {
  const made = element("button", name, "frame");
  made.type = "button";
  made.title = `${name}\n${seconds(ns / 1e9)}, ${((100 * ns) / Math.max(1, total)).toFixed(1)} % of the stage`;
  made.style.left = 100 * left + "%";
  made.style.width = `calc(${100 * width}% - 1px)`;
  made.style.top = level * ROW_PX + "px";
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 5;
  made.dataset.shade = hash;
  made.addEventListener("click", () => draw(path));
  return made;
}
