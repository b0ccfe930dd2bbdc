// A test event from the fields of a form, as JSON, as a line for curl and as Python.
import { IDENTIFIER_TYPES, instant } from "./words.js";

export const EVENT_TYPES = ["click", "impression", "page_view", "view", "purchase", "form_submit", "session_start", "session_end", "ad_impression", "ad_click"];

// given: {type, source, campaign_id, creative_id, event_id, and identifiers by type}; empty ones are left out.
export function testEvent(given, now = Date.now()) {
  const fields = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value.trim()]));
  const identifiers = Object.fromEntries(IDENTIFIER_TYPES.filter((type) => fields[type]).map((type) => [type, fields[type]]));
  const named = Object.keys(identifiers).length > 0;
  return {
    event_id: fields.event_id,
    ...(fields.campaign_id ? { type: fields.type, campaign_id: fields.campaign_id } : { event_type: fields.type }),
    ...(fields.creative_id ? { creative_id: fields.creative_id } : {}),
    source: fields.source,
    ...(fields.campaign_id ? { occurred_at: instant(now) } : { timestamp: Math.floor(now / 1000) }),
    ...(named ? { identifiers } : {}),
  };
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function curlLine(event, origin, hasKey) {
  const key = hasKey ? ' -H "authorization: Bearer $DMP_API_KEY"' : "";
  return `curl ${origin}/events${key} -H 'content-type: application/json' -d ${quoted(JSON.stringify(event))}`;
}

export function pythonLine(event, origin, hasKey) {
  const given = [["event_id", event.event_id], ["campaign_id", event.campaign_id], ["creative_id", event.creative_id], ["identifiers", event.identifiers]];
  const values = given.filter(([, value]) => value).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const key = hasKey ? ', api_key=os.environ["DMP_API_KEY"]' : "";
  return `${hasKey ? "import os\n" : ""}from dmp_client import DmpClient

with DmpClient(${JSON.stringify(origin)}, source=${JSON.stringify(event.source)}${key}) as dmp:
    dmp.track(${[JSON.stringify(event.type ?? event.event_type), ...values].join(", ")})
    dmp.flush(5)`;
}

export const freshId = () => `test-${crypto.randomUUID?.() ?? `${Date.now()}-${Math.floor(Math.random() * 1e9)}`}`;
