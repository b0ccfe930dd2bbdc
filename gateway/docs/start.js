// Shows /openapi.json. The packaged Swagger UI reads OpenAPI 3.0 only; the document keeps to what 3.0 and 3.1 have in common, so that
// showing it under the older version's name is enough.
fetch("/openapi.json")
  .then((answer) => answer.json())
  .then((document) => {
    SwaggerUIBundle({
      spec: { ...document, openapi: "3.0.3" },
      dom_id: "#api",
      deepLinking: true,
      validatorUrl: null,
      presets: [SwaggerUIBundle.presets.apis],
    });
  });
