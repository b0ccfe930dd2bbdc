/** The snippet of DMP: counts what a page does. */

/** What identifies a person. Which of them are strong is the policy of the DMP; a browser's id is added to every event. */
export interface Identifiers {
  email?: string;
  phone?: string;
  user_id?: string | number;
  wallet_address?: string;
  [type: string]: string | number | undefined;
}

/** What a page adds to an event of its own; names and limits are those of `POST /events`. */
export interface Fields {
  /** 1 to 255 characters. Give one that you can repeat, such as an order's number, and the event counts once however often the page is loaded. */
  event_id?: string;
  campaign_id?: string;
  creative_id?: string;
  /** Seconds since 1970, when it did not happen just now. */
  timestamp?: number;
  identifiers?: Identifiers;
  /** Any JSON object. The whole event may have 16,000 characters. */
  metadata?: Record<string, unknown>;
  [field: string]: unknown;
}

/** What the snippet watches by itself. */
export type Watch = "views" | "clicks" | "forms" | "impressions";

/** Options of `start`. Each is also an attribute of the script's element: `data-source`, `data-key`, and so on. */
export interface Options {
  /** Address of the DMP, such as `https://dmp.example`. Default in a script's element: where the script comes from. */
  url: string;
  /** Source of the events. Default: the host of the page. In a script's element it also starts the snippet. */
  source?: string;
  /** A public key with the scope `ingest` and the page's origin; needed where the DMP asks for keys. */
  key?: string;
  /** `wait`: events stay in memory, and storage is not touched, until `dmp("consent", true)`. Default: consent is not asked for. */
  consent?: "wait";
  /** Count nobody whose browser says Do Not Track or Global Privacy Control. Default: false. */
  dnt?: boolean;
  /** What to watch, separated by spaces; empty for nothing. Default: `views clicks forms impressions`. */
  watch?: string;
}

/**
 * Takes a command. It returns nothing, never throws, and may be called at any time: what comes before `start`, or while the page is only
 * prerendered, is done afterwards.
 */
export interface Dmp {
  /** Begins to count; once for each page. */
  (command: "start", options: Options): void;
  /** Captures an event. `type` is one that the DMP knows, such as `purchase`. */
  (command: "track", type: string, fields?: Fields): void;
  /** Captures a page view, unless the same page was counted last. `name` tells the page from others; default: its path and query. */
  (command: "page", name?: string): void;
  /**
   * Adds identifiers to every event from now on, on this page; the first time in a tab it captures a `session_start`, which tells the DMP whose
   * browser this is. `null` ends it. Nothing of them is stored in the browser: say it on each page that knows.
   */
  (command: "identify", identifiers: Identifiers | null): void;
  /** `true`: count from now on, and send what waits. `false`: forget what is not sent, and the browser's id; capture nothing more. */
  (command: "consent", given: boolean): void;
  /** Version of the snippet. */
  version?: string;
}

declare global {
  interface Window {
    dmp: Dmp;
  }
}

declare const dmp: Dmp;
export default dmp;
