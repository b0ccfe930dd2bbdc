// What a browser keeps for the console. A browser that forbids storage keeps it for this page only.
const MEMORY = new Map();

function read(store, name) {
  try {
    return window[store].getItem(name) ?? MEMORY.get(name) ?? "";
  } catch {
    return MEMORY.get(name) ?? "";
  }
}

function write(store, name, value) {
  MEMORY.set(name, value);
  try {
    if (value) window[store].setItem(name, value);
    else window[store].removeItem(name);
  } catch {
    // Kept in memory above.
  }
}

// The caller's API key: in this tab, until it is closed.
export const readKey = () => read("sessionStorage", "dmp-key");
export const writeKey = (key) => write("sessionStorage", "dmp-key", key);

// "light", "dark", or "" for what the system says.
export const readTheme = () => read("localStorage", "dmp-theme");
export const writeTheme = (theme) => write("localStorage", "dmp-theme", theme);
