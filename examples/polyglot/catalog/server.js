// The catalogue: read-only, from a file, so that any number of instances say the same.
"use strict";

const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");

const products = JSON.parse(readFileSync(join(__dirname, "products.json"), "utf8"));
const bySku = new Map(products.map((product) => [product.sku, product]));

const server = createServer((request, response) => {
  const [pathname] = request.url.split("?");
  const [, root, sku, rest] = pathname.split("/");
  const answer = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
    console.log(`${request.method} ${pathname} ${status}`);
  };
  const failure = (status, message) => answer(status, { error: { message } });

  if (root !== "products" || rest !== undefined) return failure(404, "there is nothing here");
  if (request.method !== "GET") return failure(405, "the catalogue is read-only");
  if (!sku) return answer(200, { products, instance: process.env.FLOTILLA_INSTANCE ?? null });
  const product = bySku.get(sku);
  return product ? answer(200, product) : failure(404, `there is no product ${sku}`);
});

process.on("SIGTERM", () => {
  // Stops accepting, lets the open requests finish, and then nothing keeps the process alive.
  server.close(() => console.log("catalog stopped"));
  server.closeIdleConnections();
});

const port = Number(process.env.PORT);
server.listen(port, "127.0.0.1", () => console.log(`catalog listening on 127.0.0.1:${port}`));
