// Nothing of the snippet may be felt by the page: what goes wrong ends here.

// The result of `act`, or undefined if it throws.
export function attempt(act) {
  try {
    return act();
  } catch {
    // A page that breaks because it is being counted is worse than a page that is not counted.
  }
}

// Has `act` called for each `type` of event before the page's own listeners, which may stop the event. It only looks.
export const listen = (target, types, act) =>
  types.split(" ").forEach((type) => target.addEventListener(type, (event) => attempt(() => act(event)), true));

export const isHidden = () => document.visibilityState === "hidden";
