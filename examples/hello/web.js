"use strict";

const { createServer } = require("node:http");

const port = Number(process.env.PORT);

const server = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/plain" });
  response.end("hello from web\n");
  console.log(`${request.method} ${request.url} 200`);
});

process.on("SIGTERM", () => server.close(() => console.log("web stopped")));

server.listen(port, "127.0.0.1", () => console.log(`web listening on 127.0.0.1:${port}`));
