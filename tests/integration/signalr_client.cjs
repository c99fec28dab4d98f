// Drives the official client: `node signalr_client.cjs FOLDER SCENARIO OPTIONS`; writes one JSON line for each thing seen.

const [folder, scenario, text] = process.argv.slice(2);
const options = JSON.parse(text);
const load = (name) => require(require.resolve(name, { paths: [folder] }));
const signalR = load("@microsoft/signalr");
const { MessagePackHubProtocol } = load("@microsoft/signalr-protocol-msgpack");

const tell = (event, value) => process.stdout.write(JSON.stringify({ event, value: value ?? null }) + "\n");

function build() {
  const http = { transport: signalR.HttpTransportType[options.transport] };
  if (options.token) http.accessTokenFactory = () => options.token;
  let builder = new signalR.HubConnectionBuilder()
    .withUrl(options.url, http)
    .configureLogging(signalR.LogLevel.None)
    .withAutomaticReconnect(Array(60).fill(200));
  if (options.encoding === "messagepack") builder = builder.withHubProtocol(new MessagePackHubProtocol());
  if (options.stateful) builder = builder.withStatefulReconnect();
  const connection = builder.build();
  connection.on("Hello", (value) => tell("hello", value));
  connection.onreconnecting(() => tell("reconnecting"));
  connection.onreconnected(() => tell("reconnected"));
  connection.onclose((error) => tell("closed", error ? String(error.message) : null));
  return connection;
}

async function attempt(action) {
  try {
    return { result: (await action()) ?? null };
  } catch (error) {
    return { error: String(error.message) };
  }
}

const stream = (connection, name) =>
  new Promise((resolve, reject) => connection.stream(name, "x").subscribe({ next() {}, complete: resolve, error: reject }));

// As the programs of an older fleet are written.
async function registered(connection) {
  const capabilities = { gpu_available: false, concurrent_tasks: 1 };
  await connection.invoke("RegisterWorker", options.worker, "http://127.0.0.1:9000");
  await connection.invoke("UpdateWorkerStatus", options.worker, { status: "ready", capabilities });
  tell("registered");
}

const scenarios = {
  // Works through tasks until standard input ends; a line on it lets the next step of a task go on.
  async work(connection) {
    const steps = [];
    process.stdin.on("data", (data) => String(data).trim().split("\n").forEach(() => steps.shift()?.()));
    const ended = new Promise((resolve) => process.stdin.on("end", resolve));
    connection.on("StartSubtitize", async (id, video, raw, translated, language) => {
      tell("task", [id, video, raw, translated, language]);
      await connection.invoke("UpdateTaskProgress", id, 2500, "recognizing");
      await new Promise((resolve) => steps.push(resolve));
      const answer = await attempt(() => connection.invoke("TaskCompleted", id, raw, translated));
      tell("delivered", answer);
    });
    connection.on("StopSubtitize", (id) => tell("stop", id));
    connection.on("Acknowledge", (id) => tell("acknowledged", id));
    connection.on("Ping", () => tell("ping"));
    connection.onreconnected(() => registered(connection));
    await registered(connection);
    await ended;
    await connection.stop();
  },

  async exchange(connection) {
    tell("echo", await attempt(() => connection.invoke("Echo", { a: [1, null, "ü"] })));
    tell("add", await attempt(() => connection.invoke("Add", 40, 2)));
    tell("note", await attempt(() => connection.invoke("Note", "x")));
    tell("called", await attempt(() => connection.invoke("CallBack", "Hello", 5)));
    tell("unknown", await attempt(() => connection.invoke("Nope")));
    tell("count", await attempt(() => connection.invoke("Add", 1)));
    tell("refused", await attempt(() => connection.invoke("Refuse")));
    tell("stream", await attempt(() => stream(connection, "Echo")));
    await connection.send("Note", "no answer");
    tell("again", await attempt(() => connection.invoke("Echo", "still here")));
    await connection.stop();
  },
  // Calls with growing numbers, over whatever happens to the connection, until standard input ends.
  async count(connection) {
    let isOver = false;
    process.stdin.on("end", () => (isOver = true)).resume();
    for (let number = 0; !isOver; number++) {
      const answer = await attempt(() => connection.invoke("Echo", number));
      tell("counted", answer);
      if (answer.error) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await connection.stop();
  },
};

async function main() {
  const connection = build();
  const started = await attempt(() => connection.start());
  tell("started", started);
  if (!started.error) await scenarios[scenario](connection);
  process.exit(0);
}

main();
