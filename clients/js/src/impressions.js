// Impressions: half of an element with data-dmp-impression was to be seen for one second without a break. Each counts once.
import { capture } from "./events.js";
import { attempt, isHidden, listen } from "./guard.js";

const ATTRIBUTE = "data-dmp-impression";
const SHARE = 0.5;
const SECOND = 1000;

export function watchImpressions() {
  const seen = new WeakSet(); // elements that are watched or counted
  const inView = new Map(); // of those that are to be seen, the timer

  // Begins the second anew. A page in the background shows nothing to anybody.
  const begin = (element) => {
    const count = () => {
      inView.delete(element);
      observer.unobserve(element);
      capture("impression", {}, element);
    };
    clearTimeout(inView.get(element));
    inView.set(element, isHidden() || setTimeout(() => attempt(count), SECOND));
  };
  const observer = new IntersectionObserver(
    (entries) =>
      entries.forEach(({ target, intersectionRatio, boundingClientRect }) => {
        begin(target);
        // An empty place shows nothing.
        if (intersectionRatio >= SHARE && boundingClientRect.height) return;
        clearTimeout(inView.get(target));
        inView.delete(target);
      }),
    { threshold: SHARE },
  );
  const look = () =>
    document.querySelectorAll(`[${ATTRIBUTE}]`).forEach((element) => {
      if (seen.has(element)) return;
      seen.add(element);
      observer.observe(element);
    });

  look();
  new MutationObserver((changes) => {
    changes.forEach(({ type, target }) => {
      if (type !== "attributes") return;
      // Another value is another impression.
      observer.unobserve(target);
      seen.delete(target);
    });
    look();
  }).observe(document, { subtree: true, childList: true, attributeFilter: [ATTRIBUTE] });
  listen(document, "visibilitychange", () => inView.forEach((_, element) => begin(element)));
}
