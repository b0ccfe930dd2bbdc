// Questions of a page to the API, and what the page shows meanwhile.
import { useEffect, useState } from "preact/hooks";

// Asks when the page opens and whenever one of `inputs` changes. Returns {state: "loading" | "ready" | "failed", value, error, again}.
// While it asks again, `value` is the answer before. `question` is given an AbortSignal; null asks nothing.
export function useAsk(question, inputs) {
  const [result, setResult] = useState({ state: "loading" });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (question === null) {
      setResult({ state: "idle" });
      return undefined;
    }
    const control = new AbortController();
    setResult((before) => ({ state: "loading", value: before.value }));
    question(control.signal).then(
      (value) => control.signal.aborted || setResult({ state: "ready", value }),
      (error) => control.signal.aborted || setResult({ state: "failed", error }),
    );
    return () => control.abort();
  }, [...inputs, round]);
  return { ...result, again: () => setRound((number) => number + 1) };
}

// Something that a person sets off. Returns [{state, value, error}, run, reset].
export function useAct(act) {
  const [result, setResult] = useState({ state: "idle" });
  const run = async (...given) => {
    setResult({ state: "loading" });
    try {
      const value = await act(...given);
      setResult({ state: "ready", value });
      return value;
    } catch (error) {
      setResult({ state: "failed", error });
      return undefined;
    }
  };
  return [result, run, () => setResult({ state: "idle" })];
}
