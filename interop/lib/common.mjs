// What the Node peers share: environment, one JSON line out, orderly start and stop.
export function env(name, fallback) {
  const value = process.env[name] || fallback;
  if (value === undefined) throw new Error(`environment variable ${name} is missing`);
  return value;
}

function printLine(object) {
  return new Promise((resolve) => process.stdout.write(JSON.stringify(object) + "\n", resolve));
}

/** Runs `attempt` once, prints the one result line, exits 0 only for a paid 200. */
export async function runClient(client, version, attempt) {
  const line = { client, version, status: 0, body: "", receipt: null, error: null, ms: 0 };
  const started = performance.now();
  try {
    const { response, receipt, refusal } = await attempt({
      url: env("URL"),
      init: requestInit(),
    });
    line.status = response.status;
    line.body = await response.text();
    line.ms = Math.round(performance.now() - started);
    line.receipt = receipt(response) ?? null;
    if (line.status !== 200) {
      const reason = refusal?.(response) || line.receipt?.errorReason || line.body;
      line.error = `status ${line.status}: ${reason}`;
    } else if (!line.receipt) line.error = "no payment receipt header";
    else if (line.receipt.success !== true) line.error = "receipt without success";
  } catch (error) {
    line.ms = Math.round(performance.now() - started);
    line.error = error instanceof Error ? error.message : String(error);
  }
  await printLine(line);
  process.exit(line.error === null ? 0 : 1);
}

function requestInit() {
  const method = env("METHOD", "GET");
  const body = process.env.BODY;
  return body ? { method, body, headers: { "Content-Type": env("CONTENT_TYPE", "application/json") } } : { method };
}

/** Listens on 127.0.0.1, prints the ready line, and ends with SIGTERM, SIGINT or (if asked) stdin. */
export function serve(app, peer, version) {
  const server = app.listen(Number(env("PORT", "0")), "127.0.0.1", (error) => {
    if (error) fail(error);
    printLine({ listening: server.address().port, peer, version });
  });
  server.on("error", fail);
  const stop = () => process.exit(0);
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  if (process.env.STOP_WITH_STDIN === "1") process.stdin.on("end", stop).on("error", stop).resume();
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

/** The two paid routes every interop server has; `free` is open. */
export const PRICES = { weather: "$0.01", order: "$0.02" };

export function addRoutes(app) {
  app.get("/free", (_req, res) => res.json({ free: true }));
  app.get("/weather", (_req, res) => res.json({ city: "Lisbon", celsius: 21 }));
  app.post("/order", (req, res) => res.json({ ordered: req.body ?? null }));
}
