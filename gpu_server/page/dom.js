// Elements by id, and new ones.

export const $ = (id) => document.getElementById(id);

/** A new element with these properties and children; `data` become data attributes. */
export function element(tag, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

export function canvas(side, label) {
  const made = element("canvas", { width: side, height: side });
  if (label) {
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", label);
  }
  return made;
}
