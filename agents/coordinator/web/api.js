// The HTTP API: calls, an upload that tells how far it is, and the stream of events.

import { sentence } from "./format.js";
import { session, syncClock } from "./session.js";

const TIMEOUT_MS = 15000;
// The coordinator says something every five seconds; after three times that the line is dead.
const SILENCE_MS = 16000;

/** The token is wrong, or no longer right. */
export class Refused extends Error {}
/** The coordinator says in words why not. */
export class ApiProblem extends Error {
  constructor(problem, status) {
    super(sentence(problem));
    this.problem = problem;
    this.status = status;
  }
}
/** Nobody answers, or not as a coordinator does. */
export class Unreachable extends Error {}

/** Calls that end together, when another view is opened. */
export class Calls {
  constructor() {
    this.controller = new AbortController();
  }

  get over() {
    return this.controller.signal.aborted;
  }

  end() {
    this.controller.abort();
  }

  async send(path, { method = "GET", body, headers, signal } = {}) {
    const given = { Authorization: `Bearer ${session.token}`, ...headers };
    if (body !== undefined) given["Content-Type"] = "application/json";
    try {
      return await fetch(path, {
        method,
        headers: given,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.any([this.controller.signal, signal ?? AbortSignal.timeout(TIMEOUT_MS)]),
        cache: "no-store",
      });
    } catch (error) {
      if (this.over) throw error;
      throw new Unreachable(error.name === "TimeoutError" ? "it takes too long" : "no connection");
    }
  }

  async call(path, options) {
    const response = await this.send(path, options);
    if (response.status === 401) throw new Refused();
    syncClock(response.headers.get("Date"));
    return answered(response.status, await response.text().catch(() => ""));
  }

  get(path, params) {
    const asked = Object.entries(params ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
    return this.call(asked.length ? `${path}?${new URLSearchParams(asked)}` : path);
  }

  post(path, body) {
    return this.call(path, { method: "POST", body });
  }

  /**
   * Follow a topic until this view is left. `on.view(data)` at every change, `on.open()` when the
   * line stands; ends with an error when it breaks. `last` is the id of the event seen last.
   */
  async follow(topic, last, on) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    try {
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const path = `/api/v1/events?topic=${encodeURIComponent(topic)}`;
      const response = await this.send(path, { headers, signal: silence.signal });
      if (response.status === 401 || response.status === 403) throw new Refused();
      if (!response.ok) answered(response.status, await response.text().catch(() => ""));
      on.open();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Unreachable("it closed the connection");
        heard();
        text += value;
        const parts = text.split("\n\n");
        text = parts.pop();
        for (const part of parts) eventOf(part, on);
      }
    } catch (error) {
      if (this.over || error instanceof Refused || error instanceof ApiProblem || error instanceof Unreachable) throw error;
      throw new Unreachable(silence.signal.aborted ? "it is silent" : "no connection");
    } finally {
      clearTimeout(timer);
    }
  }

  /** Send a file. `progress(fraction)`; fetch cannot tell how far it is. */
  upload(file, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `/api/v1/models?name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("Authorization", `Bearer ${session.token}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) progress(event.loaded / event.total);
      });
      request.addEventListener("load", () => {
        if (request.status === 401) return reject(new Refused());
        try {
          return resolve(answered(request.status, request.responseText));
        } catch (error) {
          return reject(error);
        }
      });
      request.addEventListener("error", () => reject(new Unreachable("the connection broke")));
      request.addEventListener("abort", () => reject(new Unreachable("it was cancelled")));
      this.controller.signal.addEventListener("abort", () => request.abort());
      request.send(file);
    });
  }
}

function answered(status, text) {
  let body;
  try {
    body = text ? JSON.parse(text) : {};
  } catch {
    throw new Unreachable(`an answer that is no JSON, HTTP ${status}`);
  }
  if (status >= 200 && status < 300) return body;
  if (typeof body.problem === "string") throw new ApiProblem(body, status);
  throw new Unreachable(`HTTP ${status}`);
}

function eventOf(text, on) {
  const event = { event: "message", data: "", id: null };
  for (const line of text.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) event[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  if (event.event === "view") on.view(JSON.parse(event.data), event.id);
  else if (event.event === "refused") throw new Refused();
  else if (event.event === "gone") throw new ApiProblem({ problem: event.data, remedy: "" }, 404);
}

/** A file of raw data, kept by the browser under its name. */
export async function download(calls, path, name) {
  const response = await calls.send(path);
  if (response.status === 401) throw new Refused();
  if (!response.ok) answered(response.status, await response.text());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
