// The console: which page the URL names, and the frame around it.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import "./pages.css";
import { html } from "./lib/html.js";
import { link, useRoute } from "./lib/route.js";
import { readTheme, writeTheme } from "./lib/storage.js";
import { Audit } from "./pages/audit.js";
import { Campaign } from "./pages/campaign.js";
import { Campaigns } from "./pages/campaigns.js";
import { Event as EventPage } from "./pages/event.js";
import { Key } from "./pages/key.js";
import { Overview } from "./pages/overview.js";
import { People } from "./pages/people.js";
import { Person } from "./pages/person.js";
import { Policy } from "./pages/policy.js";
import { Review } from "./pages/review.js";
import { Send } from "./pages/send.js";
import { Empty } from "./parts/states.js";

const PAGES = [
  ["overview", "Overview"], ["campaigns", "Campaigns"], ["people", "People"], ["review", "Review"], ["events", "Event"],
  ["policy", "Policy"], ["audit", "Audit"], ["send", "Send"], ["key", "Key"],
];
const THEMES = { "": "light", light: "dark", dark: "" };

function Page({ parts, query }) {
  const [page = "overview", id, view] = parts;
  switch (page) {
    case "overview": return html`<${Overview} />`;
    case "campaigns": return id ? html`<${Campaign} key=${id} id=${id} query=${query} />` : html`<${Campaigns} query=${query} />`;
    case "people": return id ? html`<${Person} key=${id} id=${id} view=${view} query=${query} />` : html`<${People} query=${query} />`;
    case "review": return html`<${Review} query=${query} />`;
    case "events": return html`<${EventPage} key=${id} id=${id} />`;
    case "policy": return html`<${Policy} />`;
    case "audit": return html`<${Audit} query=${query} />`;
    case "send": return html`<${Send} />`;
    case "key": return html`<${Key} />`;
    default: return html`<h1 tabindex="-1">Not here</h1><${Empty}>The console has no page of this name. <a href=${link([])}>Go to the overview</a>.</${Empty}>`;
  }
}

function showTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  window.dispatchEvent(new Event("dmp-theme"));
}

function Theme() {
  const [theme, setTheme] = useState(readTheme);
  const next = () => {
    const chosen = THEMES[theme] ?? "";
    writeTheme(chosen);
    setTheme(chosen);
    showTheme(chosen);
  };
  return html`<button type="button" class="theme" onClick=${next}>Colours: ${theme || "as the system"}</button>`;
}

function Frame() {
  const { parts, query } = useRoute();
  const [open, setOpen] = useState(false);
  const place = parts.join("/");
  const page = PAGES.find(([name]) => name === (parts[0] ?? "overview"));
  useEffect(() => {
    setOpen(false);
    document.title = `${[page?.[1] ?? "Not here", parts[1]].filter(Boolean).join(" ")} – DMP console`;
    window.scrollTo(0, 0);
    if (Frame.moved) document.querySelector("main h1")?.focus({ preventScroll: true });
    Frame.moved = true;
  }, [place]);
  return html`<a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.querySelector("main h1")?.focus(); }}>To the content</a>
    <header><a class="brand" href=${link([])}><img src="/console/icon.svg" alt="" width="28" height="28" />DMP console</a>
      <button type="button" class="menu" aria-expanded=${open} aria-controls="pages" onClick=${() => setOpen(!open)}>Menu</button></header>
    <nav id="pages" class=${open ? "open" : ""} aria-label="Pages">
      <ul>${PAGES.map(([name, text]) => html`<li><a href=${link(name === "overview" ? [] : [name])} aria-current=${page?.[0] === name ? "page" : undefined}>${text}</a></li>`)}</ul>
      <p class="foot"><a href="/docs">API, to try out</a><a href="/redoc">API, to read</a><${Theme} /></p>
    </nav>
    <main id="content"><${Page} parts=${parts} query=${query} /></main>`;
}

showTheme(readTheme());
const place = document.getElementById("console");
place.replaceChildren();
render(html`<${Frame} />`, place);
