// Shows /openapi.json with Swagger UI.

// "Try it out" fills every field that has an example; what is optional is better left empty.
function withoutOptionalExamples(document) {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
  const parameters = operations.flatMap((operation) => operation.parameters ?? []);
  for (const parameter of [...parameters, ...Object.values(document.components.parameters)]) {
    if (!parameter.required) delete parameter.examples;
  }
  return document;
}

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((document) => {
    SwaggerUIBundle({
      spec: withoutOptionalExamples(document),
      dom_id: "#api",
      deepLinking: true,
      validatorUrl: null,
      presets: [SwaggerUIBundle.presets.apis],
    });
  });
