// The live feed: one message a second for as long as somebody looks.
import { useEffect, useState } from "preact/hooks";
import { send } from "./api.js";

const KEPT = 300; // samples: five minutes
const LONGEST_PAUSE = 15000; // milliseconds

// Calls `take` with each message until the signal ends it or the server does.
async function listen(take, signal) {
  const answer = await send("GET", "/live", { query: { top: 10 }, accept: "text/event-stream", signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const messages = text.split(/\r?\n\r?\n/);
    text = messages.pop();
    for (const message of messages) {
      const data = message.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
      if (data.length) take(JSON.parse(data.join("\n")));
    }
  }
}

// Returns {sample, history, error}: the last message, up to five minutes of them, and why there are none just now.
export function useLive() {
  const [live, setLive] = useState({ history: [] });
  useEffect(() => {
    const control = new AbortController();
    let pause = 1000;
    let timer = 0;
    const take = (sample) => {
      pause = 1000;
      setLive(({ history }) => ({ sample, history: [...history.slice(1 - KEPT), sample] }));
    };
    const listenAgain = async () => {
      try {
        await listen(take, control.signal);
      } catch (error) {
        if (control.signal.aborted) return;
        setLive((before) => ({ ...before, error }));
        if (error.status === 401 || error.status === 403) return;
      }
      if (control.signal.aborted) return;
      timer = setTimeout(listenAgain, pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
    };
    listenAgain();
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, []);
  return live;
}
