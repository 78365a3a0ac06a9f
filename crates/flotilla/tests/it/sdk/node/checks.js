// The calls of the official JavaScript SDK, each case behind a path: `GET /state/http` answers 200, or 500 with the
// stack. Cases take the protocol that the SDK shall use.
"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const http = require("node:http");
const { CommunicationProtocolEnum, DaprClient, HttpMethod } = require("@dapr/dapr");

const [STATE, LOCK, CONFIG, SECRETS] = ["statestore", "lockstore", "configstore", "secretstore"];

function client(protocol) {
  const isGrpc = protocol === "grpc";
  return new DaprClient({
    daprHost: "127.0.0.1",
    daprPort: isGrpc ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
    communicationProtocol: isGrpc ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP,
  });
}

async function until(what, found) {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    const value = await found();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come`);
}

async function state(dapr) {
  const [one, two] = [`js-${randomUUID()}`, `js-${randomUUID()}`];
  const value = { name: "Ann", tags: ["a", "ü"], count: 3 };
  await dapr.state.save(STATE, [
    { key: one, value },
    { key: two, value: "plain" },
  ]);
  assert.deepEqual(await dapr.state.get(STATE, one), value);
  assert.equal(await dapr.state.get(STATE, two), "plain");
  const many = await dapr.state.getBulk(STATE, [two, one, "missing"]);
  assert.deepEqual(many.map((item) => item.key), [two, one, "missing"]);
  assert.ok(many[0].etag && many[1].etag);

  const etag = many[1].etag;
  const done = await dapr.state.save(STATE, [{ key: one, value: { ...value, count: 4 }, etag }]);
  assert.equal(done?.error, undefined);
  // Over HTTP the SDK returns what it throws over gRPC.
  const save = () => dapr.state.save(STATE, [{ key: one, value: { ...value, count: 5 }, etag }]);
  const stale = await save().catch((error) => ({ error }));
  assert.ok(stale.error, "a save with an old etag was taken");
  assert.equal((await dapr.state.get(STATE, one)).count, 4);

  await dapr.state.transaction(STATE, [
    { operation: "upsert", request: { key: two, value: "changed" } },
    { operation: "delete", request: { key: one } },
  ]);
  assert.equal(await dapr.state.get(STATE, two), "changed");
  assert.ok(!(await dapr.state.get(STATE, one)));
  await dapr.state.delete(STATE, two);
  assert.ok(!(await dapr.state.get(STATE, two)));
}

async function ttl(dapr) {
  const key = `js-${randomUUID()}`;
  await dapr.state.save(STATE, [{ key, value: "short", metadata: { ttlInSeconds: "1" } }]);
  assert.equal(await dapr.state.get(STATE, key), "short");
  await until("the end of the value", async () => !(await dapr.state.get(STATE, key)));
}

async function lock(dapr) {
  const name = `js-${randomUUID()}`;
  assert.equal((await dapr.lock.lock(LOCK, name, "ann", 60)).success, true);
  assert.equal((await dapr.lock.lock(LOCK, name, "bob", 60)).success, false);
  assert.equal((await dapr.lock.unlock(LOCK, name, "bob")).status, 2);
  assert.equal((await dapr.lock.unlock(LOCK, name, "ann")).status, 0);
  assert.equal((await dapr.lock.unlock(LOCK, name, "ann")).status, 1);
}

// Where the SDK has no call, the native API of the same listener has one.
async function setConfiguration(key, value) {
  const url = `${process.env.DAPR_HTTP_ENDPOINT}/v1/config/${CONFIG}/keys/${key}`;
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ value }) });
  assert.ok(answer.ok, `${answer.status} ${await answer.text()}`);
}

async function configuration(dapr) {
  const [key, other] = [`js-${randomUUID()}`, `js-${randomUUID()}`];
  await setConfiguration(key, "1");
  const found = await dapr.configuration.get(CONFIG, [key, "missing"]);
  assert.deepEqual(Object.keys(found.items), [key]);
  assert.equal(found.items[key].value, "1");
  const told = [];
  const note = async (answer) => {
    for (const item of Object.values(answer.items)) told.push(`${item.key ?? ""}=${item.value}`);
  };
  const stream = await dapr.configuration.subscribeWithKeys(CONFIG, [key], note);
  // The SDK goes on before the subscription is there, so the value changes until a change is told.
  let number = 1;
  await until("the change", async () => {
    await setConfiguration(other, "9");
    await setConfiguration(key, `${++number}`);
    return told.length > 0;
  });
  assert.ok(told.every((line) => !line.endsWith("=9")), told.join());
  await stream.stop();
}

async function secrets(dapr) {
  assert.deepEqual(await dapr.secret.get(SECRETS, "DB_PASSWORD"), { DB_PASSWORD: "hunter2" });
  const all = await dapr.secret.getBulk(SECRETS);
  assert.ok(JSON.stringify(all).includes("hunter2"), JSON.stringify(all));
}

async function invokeHttp(dapr) {
  const answer = await dapr.invoker.invoke("echo", "json/7", HttpMethod.POST, { a: 1 });
  assert.deepEqual(answer, { text: 'POST|/json/7|{"a":1}' });
  const got = await dapr.invoker.invoke("echo", "json/7?x=1", HttpMethod.GET);
  // Over gRPC the SDK gives even a GET the body `{}`.
  assert.match(got.text, /^GET\|\/json\/7\?x=1\|/);
  await assert.rejects(dapr.invoker.invoke("echo", "missing", HttpMethod.GET));
  await assert.rejects(dapr.invoker.invoke("nobody", "x", HttpMethod.GET), /nobody/);
}

async function invokeGrpc(dapr) {
  const answer = await dapr.invoker.invoke("greeter", "greet-json", HttpMethod.POST, { a: 1 });
  assert.deepEqual(answer, { hello: '{"a":1}', of: "checks" });
  await assert.rejects(dapr.invoker.invoke("nobody", "x", HttpMethod.GET), /nobody/);
}

async function metadata(dapr) {
  await dapr.metadata.set("team", "blue");
  const told = await dapr.metadata.get();
  assert.equal(told.id, "checks");
  const extended = JSON.stringify(told.extended ?? told.extendedMetadata ?? told);
  assert.ok(extended.includes("blue"), extended);
  const names = (told.components ?? told.registeredComponents).map((component) => component.name);
  for (const store of [STATE, LOCK, CONFIG, SECRETS]) assert.ok(names.includes(store), names.join());
}

async function health(dapr) {
  assert.equal(await dapr.health.isHealthy(), true);
}

async function shutdown(dapr) {
  await dapr.sidecar.shutdown();
}

const CASES = { state, ttl, lock, configuration, secrets, invokeHttp, invokeGrpc, metadata, health, shutdown };

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
  .listen(process.env.PORT, "127.0.0.1");
