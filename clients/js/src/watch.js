// What the page does by itself: page views, clicks and forms.
import { capture, place } from "./events.js";
import { attempt, listen } from "./guard.js";

const MOST_FIELDS = 50;

let shown; // the page that was counted last
let before; // and its address

// Counts a page view, unless this page was counted last. name: what the page calls itself; else its path and query tell it from others.
export function page(name) {
  const here = name || location.pathname + location.search;
  if (here === shown) return;
  shown = here;
  const referrer = before || document.referrer;
  before = location.href;
  capture("page_view", { ...(name && { name }), ...(referrer && { referrer: place(referrer) }) });
}

export function watchViews() {
  page();
  const { pushState } = history;
  history.pushState = function () {
    pushState.apply(this, arguments);
    attempt(page);
  };
  listen(window, "popstate", () => page());
  // Out of the back/forward cache, where the page was asleep.
  listen(window, "pageshow", ({ persisted }) => {
    if (!persisted) return;
    shown = 0;
    page();
  });
}

export function watchClicks() {
  listen(window, "click auxclick", (event) => {
    const path = event.composedPath();
    const [target] = path;
    const element = path.find((node) => node.matches?.("a[href],area[href],[data-dmp-click]"));
    if (!element || (event.type === "auxclick" && event.button !== 1)) return;
    // A click on a label is followed by one on what it names, which counts.
    const control = target.closest("label")?.control;
    if (control && !control.disabled && !control.contains(target) && element.contains(control)) return;
    const link = element.getAttribute("href");
    capture("click", link != null && { link: place(link) }, element);
  });
}

// Only the names of fields: values are the person's.
export function watchForms() {
  listen(window, "submit", ({ target }) => {
    const fields = [...document.querySelectorAll("[name]")].filter(({ form }) => form === target).map((field) => field.getAttribute("name"));
    capture("form_submit", { form: target.getAttribute("id") || undefined, fields: [...new Set(fields)].slice(0, MOST_FIELDS) }, target);
  });
}
