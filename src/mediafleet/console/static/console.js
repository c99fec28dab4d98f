// What htmx does not do: moves progress bars from the event stream, uploads files with progress, lists a job's events.
"use strict";

(() => {
  const REFRESH_MS = 300; // many events at once become one request
  const SLICE_BYTES = 16 * 1024 * 1024; // a connection that breaks costs no more than one
  const STALL_MS = 60000; // a transfer in which nothing moves for so long is broken
  const READ_BYTES_PER_MS = 100000;
  const MOST_TRIES = 16; // without a byte that arrives: about a minute
  const LOST = "The connection was lost; send the file again.";
  const FINAL = new Set(["job.completed", "job.failed", "job.cancelled"]);
  const JOB_EVENTS = ["job.accepted", "job.started", "job.completed", "job.failed", "job.cancelled", "job.revived", "job.paused", "job.resumed", "job.asked", "job.reviewed", "fleet.paused", "fleet.resumed", "task.retried"];
  const NODE_EVENTS = ["node.registered", "node.unlinked", "node.draining", "node.paused", "node.resumed", "node.changed", "node.lost", "fleet.paused", "fleet.resumed"];
  const find = (selector, root = document) => root.querySelector(selector);

  // --- live state ----------------------------------------------------------

  function showLive(state, words) {
    const line = find("#live");
    line.dataset.state = state;
    find(".words", line).textContent = words;
  }

  const waiting = new Map();
  function refreshSoon(name) {
    if (waiting.has(name)) return;
    waiting.set(name, setTimeout(() => {
      waiting.delete(name);
      document.body.dispatchEvent(new CustomEvent(name));
    }, REFRESH_MS));
  }

  function spanText(milliseconds) {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  }

  function moveBar(job, data) {
    const box = find(`.progress[data-job="${CSS.escape(job)}"]`);
    if (!box || typeof data.progress !== "number") return Boolean(box);
    const whole = Math.min(100, Math.max(0, Math.floor(data.progress * 100 + 1e-6)));
    find("progress", box).value = data.progress * 100;
    find(".percent", box).textContent = `${whole} %`;
    const speed = data.speed == null ? "" : `${data.speed.toFixed(1)}×`;
    const left = data.eta_ms == null ? "" : `${spanText(data.eta_ms)} left`;
    find(".pace", box).textContent = [data.stage === "fetching" ? "uploading" : data.stage, speed, left].filter(Boolean).join(" · ");
    return true;
  }

  function changesStatus(job, data) {
    const row = find(`#row-${CSS.escape(job)} .pill`) || find("#job .pill");
    return Boolean(row && data.status && row.textContent !== data.status);
  }

  // --- a job's own page: its events ----------------------------------------

  const seen = new Set();
  function listEvent(type, event, id) {
    const list = find("#events");
    if (!list || type === "job.progressed" || seen.has(id)) return;
    seen.add(id);
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = new Date(event.at_ms).toISOString();
    time.textContent = new Date(event.at_ms).toLocaleTimeString();
    const text = document.createElement("span");
    const { error, stage } = event.data ?? {};
    text.textContent = [type.split(".").reverse().join(" ").replace(/^(\S+) (\S+)$/, "$2 $1"), event.node, error?.message ?? stage].filter(Boolean).join(" · ");
    item.append(time, text);
    list.prepend(item);
  }

  let isOver = false;
  function followStream(stream) {
    const each = (types, act) => types.forEach((type) => stream.addEventListener(type, (happened) => {
      act(type, JSON.parse(happened.detail.data), happened.detail.id);
    }));
    each(["job.progressed"], (_, event) => {
      moveBar(event.job, event.data ?? {});
      if (changesStatus(event.job, event.data ?? {})) refreshSoon("refresh-jobs");
    });
    each([...JOB_EVENTS], (type, event, id) => {
      listEvent(type, event, id);
      if (find("#events") && FINAL.has(type)) isOver = true;
      if (type === "job.revived") isOver = false;
      refreshSoon("refresh-jobs");
      refreshSoon("refresh-nodes");
    });
    each(NODE_EVENTS, () => refreshSoon("refresh-nodes"));
    each(["job.snapshot"], (_, view) => {
      if (find("#events") && FINAL.has(`job.${view.status}`)) isOver = true;
    });
    stream.addEventListener("htmx:sse:before:connection", (about) => {
      // A finished job's stream has ended for good; coming back would only ask again and again.
      if (isOver) about.preventDefault();
    });
    stream.addEventListener("htmx:sse:after:connection", () => showLive("on", "live"));
    stream.addEventListener("htmx:sse:error", () => showLive("lost", "connection lost, trying again"));
    stream.addEventListener("htmx:sse:close", () => isOver ? showLive("off", "finished") : showLive("lost", "connection lost"));
  }

  // --- uploads -------------------------------------------------------------

  async function explain(response) {
    try {
      return (await response.json()).detail;
    } catch {
      return `The server answered ${response.status}.`;
    }
  }

  async function announce(file) {
    const response = await fetch("/api/v1/artifacts", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: file.name, size: file.size }),
    });
    if (!response.ok) throw new Error(await explain(response));
    return (await response.json()).id;
  }

  // Sends one slice; gives the answer's status, and what is wrong in words.
  function sendSlice(id, file, offset, onProgress) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest(); // fetch cannot say how much of a body was sent
      let stall = 0;
      const wait = (milliseconds) => {
        clearTimeout(stall);
        stall = setTimeout(() => request.abort(), milliseconds);
      };
      const end = (status, words) => {
        clearTimeout(stall);
        resolve({ status, words });
      };
      request.upload.onprogress = (about) => {
        wait(STALL_MS);
        onProgress(offset + about.loaded);
      };
      // After the last slice the server may have to read the whole file.
      request.upload.onload = () => wait(STALL_MS + file.size / READ_BYTES_PER_MS);
      request.onload = () => {
        let words = `The server answered ${request.status}.`;
        try { words = JSON.parse(request.responseText).detail ?? words; } catch { /* not a problem document */ }
        end(request.status, words);
      };
      request.onerror = request.onabort = () => end(0, LOST);
      request.open("PUT", `/api/v1/artifacts/${id}?offset=${offset}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.send(file.slice(offset, offset + SLICE_BYTES));
      wait(STALL_MS);
    });
  }

  // Where to go on; a complete upload has no offset, since all of it is there.
  async function askOffset(id, file) {
    try {
      const response = await fetch(`/api/v1/artifacts/${id}`, { method: "HEAD", signal: AbortSignal.timeout(STALL_MS) });
      return { status: response.status, offset: Number(response.headers.get("Upload-Offset") ?? file.size) };
    } catch {
      return { status: 0, offset: 0 };
    }
  }

  async function sendBytes(id, file, onProgress) {
    let offset = 0, best = 0, tries = 0;
    const rise = (sent) => {
      best = Math.max(best, sent); // what is sent again is no step back for who watches
      onProgress(best / Math.max(1, file.size));
    };
    for (;;) {
      const { status, words } = await sendSlice(id, file, offset, rise);
      if (status === 200) return;
      if (status === 202) {
        offset = Math.min(offset + SLICE_BYTES, file.size);
        tries = 0;
        continue;
      }
      // Away, or not agreed on where to go on: everything else is an answer for good.
      if (status !== 0 && status !== 409 && status < 500) throw new Error(words);
      const known = await waitForOffset(id, file, words, tries);
      tries = known > offset ? 0 : tries + 1;
      offset = known;
    }
  }

  async function waitForOffset(id, file, words, tries) {
    for (let count = tries; count < MOST_TRIES; count += 1) {
      if (count) await new Promise((resume) => setTimeout(resume, Math.min(5000, 250 * 2 ** count)));
      const { status, offset } = await askOffset(id, file);
      if (status === 200) return offset;
      if (status === 404) throw new Error("The upload was given up on the server; send the file again.");
    }
    throw new Error(words);
  }

  function addUploadLine(file) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    const state = document.createElement("span");
    const bar = document.createElement("progress");
    name.className = "file";
    name.textContent = file.name;
    state.className = "muted";
    state.textContent = "waiting";
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    item.append(name, state, bar);
    find("#uploads").append(item);
    return { item, state, bar };
  }

  async function uploadAndSubmit(form, file, line, pressed) {
    const fields = { ...Object.fromEntries(new FormData(form).entries()), ...pressed };
    try {
      const id = await announce(file);
      await sendBytes(id, file, (share) => {
        line.bar.value = share;
        line.state.textContent = share < 1 ? `${Math.floor(share * 100)} %` : "checking";
      });
      await htmx.ajax("POST", "/console/jobs", {
        source: form, target: "#notice", swap: "innerHTML", values: { ...fields, input: `artifact:${id}`, name: file.name },
      });
      line.item.remove();
    } catch (problem) {
      line.state.textContent = problem.message;
      line.state.className = "bad";
      line.bar.remove();
    }
  }

  async function uploadAll(form, files, submitter) {
    const buttons = form.querySelectorAll("button[type=submit]");
    const pressed = submitter?.name ? { [submitter.name]: submitter.value } : {};
    const lines = files.map(addUploadLine);
    for (const button of buttons) button.disabled = true;
    for (const [index, file] of files.entries()) await uploadAndSubmit(form, file, lines[index], pressed);
    for (const button of buttons) button.disabled = false;
    find("#files").value = "";
    showChosen();
  }

  function showChosen() {
    const files = [...find("#files").files];
    find("#files-chosen").textContent = files.length
      ? files.map((file) => file.name).join(", ")
      : "Files of any size.";
  }

  function prepareForm(form) {
    const input = find("#files");
    const drop = find("#drop");
    input.addEventListener("change", showChosen);
    for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, () => drop.classList.add("over"));
    for (const type of ["dragleave", "drop"]) drop.addEventListener(type, () => drop.classList.remove("over"));
    // Before htmx sees it: with files chosen the form is sent once for each, after its upload.
    document.addEventListener("submit", (happened) => {
      const files = [...input.files];
      if (happened.target !== form || !files.length) return;
      happened.preventDefault();
      happened.stopImmediatePropagation();
      uploadAll(form, files, happened.submitter);
    }, true);
  }

  const stream = find("#stream");
  if (stream) followStream(stream);
  const form = find("#submit");
  if (form) prepareForm(form);
})();
