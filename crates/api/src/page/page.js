"use strict";

// Text is set by textContent only: names and messages come from services.
const byId = (id) => document.getElementById(id);
const words = (text) => text.replaceAll("_", " ");

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function instance(one) {
  const facts = [one.id, words(one.state)];
  if (one.address) facts.push(one.address);
  if (one.pid) facts.push(`pid ${one.pid}`);
  if (one.restarts) facts.push(`${one.restarts} restarts`);
  if (one.usage) facts.push(`${Math.round(one.usage.memory_bytes / 1048576)} MiB`);
  return element("span", facts.join(" · "), `instance ${one.state}`);
}

function remark(service) {
  if (service.waiting_for.length) return `waiting for ${service.waiting_for.join(", ")}`;
  if (service.problem) return service.problem.message;
  if (service.reason) return service.reason;
  return service.next_run ? `next run ${new Date(service.next_run).toLocaleString()}` : "";
}

function row(service) {
  const made = document.createElement("tr");
  const name = document.createElement("td");
  const link = element("a", service.name);
  link.href = `/v1/logs?tail=200&service=${encodeURIComponent(service.name)}`;
  name.append(link);
  const instances = document.createElement("td");
  instances.append(...service.instances.map(instance));
  made.append(name, element("td", words(service.state), service.state),
    element("td", `${service.ready}/${service.desired}`), instances, element("td", remark(service)));
  return made;
}

function show(status) {
  document.title = `${status.system}: ${status.phase}`;
  byId("name").textContent = status.system;
  byId("phase").textContent = words(status.phase);
  byId("phase").className = status.phase;
  byId("services").replaceChildren(...status.services.map(row));
}

const stream = new EventSource("/v1/status");
stream.addEventListener("status", (event) => show(JSON.parse(event.data)));
stream.addEventListener("error", () => { byId("phase").textContent = "no connection to the node"; });

fetch("/v1/system").then((answer) => answer.json()).then((system) => {
  if (!system.gateway_url) return;
  byId("gateway").href = system.gateway_url;
  byId("gateway").hidden = false;
}).catch(() => {});
