// Shows /openapi.json with Redoc. Its search runs in a worker that it makes from a text, which the policy of this page forbids; the browser's finds too.
const colours = { primary: { main: "#1b5aa6" } };
const typography = { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } };
Redoc.init("/openapi.json", { disableSearch: true, hideDownloadButton: true, scrollYOffset: 48, theme: { colors: colours, typography } }, document.getElementById("api"));
