// Messages with the official JavaScript SDK: one program for who publishes and for each way to subscribe.
//
// What arrives is written into the file `$LEDGER`, one line of JSON each. A message says itself what its subscribers
// answer, as in `messages.py` beside it. `checks` has cases behind paths: `GET /publish/http`.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const express = require("express");
const { CommunicationProtocolEnum, DaprClient, DaprPubSubStatusEnum, DaprServer } = require("@dapr/dapr");

const PUBSUB = "pubsub";
const { LEDGER, PORT, FLOTILLA_SERVICE: APP, FLOTILLA_INSTANCE: INSTANCE } = process.env;
const APPS = ["web", "callback"];

// Writes down what arrived, in one write: lines of several processes do not mix.
function note(fields) {
  fs.appendFileSync(LEDGER, `${JSON.stringify({ app: APP, instance: INSTANCE, ...fields })}\n`);
}

// What was written down about a tag.
function noted(tag, wanted = {}) {
  if (!fs.existsSync(LEDGER)) return [];
  const text = fs.readFileSync(LEDGER, "utf8");
  // The last line may be half there.
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line.includes(tag));
  const fits = (line) => Object.entries(wanted).every(([name, value]) => line[name] === value);
  return lines.map((line) => JSON.parse(line)).filter(fits);
}

async function until(what, found) {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const value = await found();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come`);
}

// ---- who publishes

function client(protocol) {
  const isGrpc = protocol === "grpc";
  return new DaprClient({
    daprHost: "127.0.0.1",
    daprPort: isGrpc ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
    communicationProtocol: isGrpc ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP,
  });
}

const message = (fields = {}) => ({ tag: randomUUID(), ...fields });

async function send(dapr, topic, data, options) {
  const done = await dapr.pubsub.publish(PUBSUB, topic, data, options);
  assert.equal(done.error, undefined, `${done.error}`);
  return data.tag;
}

// Waits until each app has something of the tag.
async function allGot(tag, wanted = {}) {
  const found = {};
  for (const app of APPS) {
    const got = () => noted(tag, { app, ...wanted });
    found[app] = await until(`${tag} at ${app}`, () => got().length > 0 && got());
  }
  return found;
}

async function publish(dapr) {
  const data = message({ name: "ü", list: [1, null] });
  await send(dapr, "orders", data);
  for (const [app, lines] of Object.entries(await allGot(data.tag))) {
    assert.equal(lines.length, 1, app);
    assert.deepEqual(lines[0].data, data);
  }
}

async function text(dapr) {
  const text = `text ${randomUUID()}`;
  const done = await dapr.pubsub.publish(PUBSUB, "orders", text, { contentType: "text/plain" });
  assert.equal(done.error, undefined, `${done.error}`);
  for (const lines of Object.values(await allGot(text))) assert.equal(lines[0].data, text);
}

async function cloudEvent(dapr) {
  const data = message();
  const event = { specversion: "1.0", id: randomUUID(), source: "js", type: "order.made", data };
  const contentType = "application/cloudevents+json";
  const done = await dapr.pubsub.publish(PUBSUB, "orders", event, { contentType });
  assert.equal(done.error, undefined, `${done.error}`);
  for (const lines of Object.values(await allGot(data.tag))) assert.deepEqual(lines[0].data, data);
}

async function raw(dapr) {
  const data = message();
  await send(dapr, "raw", data, { metadata: { rawPayload: "true" } });
  const lines = await until("the raw message", () => noted(data.tag, { app: "web" })[0]);
  assert.deepEqual(lines.data, data);
}

async function bulk(dapr) {
  const tag = randomUUID();
  const events = Array.from({ length: 20 }, (_, n) => ({ tag, n }));
  const done = await dapr.pubsub.publishBulk(PUBSUB, "orders", events);
  assert.deepEqual(done.failedMessages, []);
  for (const app of APPS) {
    await until(`the bulk at ${app}`, () => noted(tag, { app }).length >= events.length);
    const got = noted(tag, { app }).map((line) => line.data.n).sort((a, b) => a - b);
    assert.deepEqual(got, events.map((event) => event.n));
  }
}

async function bulkSubscribe(dapr) {
  const tag = randomUUID();
  const say = (n) => (n === 7 ? "twice" : "success");
  const events = Array.from({ length: 30 }, (_, n) => ({ tag: `${tag}-${n}`, n, say: say(n) }));
  const done = await dapr.pubsub.publishBulk(PUBSUB, "many", events);
  assert.deepEqual(done.failedMessages, []);
  // Only the one that was asked for again comes again.
  await until("all of the bulk", () => noted(tag, { app: "web", said: "success" }).length >= events.length);
  const got = noted(tag, { app: "web" }).map((line) => line.data.n);
  assert.equal(got.length, 31, got.join());
  assert.equal(got.filter((n) => n === 7).length, 2, got.join());
}

async function retry(dapr) {
  const tag = await send(dapr, "orders", message({ say: "twice" }));
  await allGot(tag, { said: "success" });
  for (const app of APPS) {
    const said = noted(tag, { app }).map((line) => line.said);
    assert.deepEqual(said, ["retry", "success"], app);
  }
}

async function deadLetters(dapr) {
  for (const app of APPS) {
    for (const say of ["drop", "retry"]) {
      const tag = await send(dapr, `doomed-${app}`, message({ say }));
      const letter = () => noted(tag, { app, topic: `letters-${app}` })[0];
      assert.equal((await until(`the letter of ${app}`, letter)).data.tag, tag);
      const tried = noted(tag, { app, topic: `doomed-${app}` });
      assert.ok(tried.length >= 1 && tried.every((line) => line.said === say), JSON.stringify(tried));
    }
  }
}

async function routes(dapr) {
  for (const kind of ["big", "small", "other"]) {
    const tag = await send(dapr, "routed", message({ kind }));
    for (const [app, lines] of Object.entries(await allGot(tag))) assert.equal(lines[0].way, kind, app);
  }
}

async function shares(dapr) {
  const tags = [];
  await until("messages at both instances", async () => {
    tags.push(await send(dapr, "orders", message()));
    const lines = tags.slice(-50).flatMap((tag) => noted(tag, { app: "web" }));
    return new Set(lines.map((line) => line.instance)).size === 2;
  });
  for (const tag of tags) {
    for (const lines of Object.values(await allGot(tag))) assert.equal(lines.length, 1);
  }
}

async function errors(dapr) {
  const failed = await dapr.pubsub.publish("nowhere", "orders", "x").catch((error) => ({ error }));
  assert.match(`${failed.error}`, /nowhere/);
}

// A message that all apps ask for again until they are allowed to take it.
async function hold(dapr) {
  const tag = await send(dapr, "orders", message({ say: "hold" }));
  await allGot(tag, { said: "retry" });
  fs.writeFileSync(`${LEDGER}.held`, tag);
}

async function release(dapr) {
  const tag = fs.readFileSync(`${LEDGER}.held`, "utf8");
  for (const app of APPS) assert.deepEqual(noted(tag, { app, said: "success" }), []);
  fs.writeFileSync(`${LEDGER}.free`, "");
  await allGot(tag, { said: "success" });
  await retry(dapr);
  await deadLetters(dapr);
}

const CASES = {
  publish, text, cloudEvent, raw, bulk, bulkSubscribe, retry, deadLetters, routes, shares, errors, hold, release,
};

async function run(path) {
  if (path === "/healthz") return true;
  const [, name, protocol] = path.split("/");
  // Before there is a client: the end of one ends the connections of all.
  if (!CASES[name]) return false;
  const dapr = client(protocol);
  try {
    await CASES[name](dapr);
    return true;
  } finally {
    await dapr.stop();
  }
}

function serveChecks() {
  http
    .createServer(async (request, response) => {
      try {
        response.statusCode = (await run(request.url)) ? 200 : 404;
        response.end("fine");
      } catch (error) {
        response.statusCode = 500;
        response.end(`${error?.stack ?? error}`);
      }
    })
    .listen(PORT, "127.0.0.1");
}

// ---- who subscribes

// What a subscriber answers, because the message says so.
function verdict(data) {
  switch (data?.say) {
    case "hold":
      return fs.existsSync(`${LEDGER}.free`) ? "success" : "retry";
    case "twice":
      return noted(data.tag, { app: APP }).length > 0 ? "success" : "retry";
    case undefined:
      return "success";
    default:
      return data.say;
  }
}

function taker(topic, way) {
  return async (data, headers) => {
    const said = topic.startsWith("letters") ? "success" : verdict(data);
    note({ topic, way, data, said, headers });
    return { success: DaprPubSubStatusEnum.SUCCESS, retry: DaprPubSubStatusEnum.RETRY, drop: DaprPubSubStatusEnum.DROP }[
      said
    ];
  };
}

async function serve(protocol) {
  const isGrpc = protocol === CommunicationProtocolEnum.GRPC;
  const app = express();
  app.get("/healthz", (_, response) => response.send("fine"));
  const server = new DaprServer({
    serverHost: "127.0.0.1",
    serverPort: PORT,
    communicationProtocol: protocol,
    serverHttp: isGrpc ? undefined : app,
    clientOptions: {
      daprHost: "127.0.0.1",
      daprPort: isGrpc ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
      communicationProtocol: protocol,
    },
  });
  const take = (topic, options) =>
    server.pubsub.subscribeWithOptions(PUBSUB, topic, { callback: taker(topic), ...options });
  await take("orders");
  await take(`doomed-${APP}`, { deadLetterTopic: `letters-${APP}` });
  await take(`letters-${APP}`);
  const rules = ["big", "small"].map((kind) => ({ match: `event.data.kind == "${kind}"`, path: `/${kind}` }));
  await server.pubsub.subscribeWithOptions(PUBSUB, "routed", { route: { default: "/other", rules } });
  for (const way of ["big", "small", "other"]) {
    server.pubsub.subscribeToRoute(PUBSUB, "routed", `/${way}`, taker("routed", way));
  }
  if (!isGrpc) {
    await take("raw", { metadata: { rawPayload: true } });
    const together = { maxMessagesCount: 10, maxAwaitDurationMs: 100 };
    await server.pubsub.subscribeBulk(PUBSUB, "many", taker("many"), together);
  }
  await server.start();
}

const ROLES = {
  checks: serveChecks,
  web: () => serve(CommunicationProtocolEnum.HTTP),
  callback: () => serve(CommunicationProtocolEnum.GRPC),
};
ROLES[process.argv[2]]();
