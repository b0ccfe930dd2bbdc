// Shows /openapi.json. The packaged Swagger UI reads OpenAPI 3.0 only; the document keeps to what 3.0 and 3.1 have in common, so that
// showing it under the older version's name is enough.

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
      spec: { ...withoutOptionalExamples(document), openapi: "3.0.3" },
      dom_id: "#api",
      deepLinking: true,
      validatorUrl: null,
      presets: [SwaggerUIBundle.presets.apis],
    });
  });
