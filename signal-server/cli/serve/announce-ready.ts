import { setTimeout as sleep } from 'node:timers/promises';
import type { SignalServer } from '../../server.ts';

const LOOK_MS = 500;
/** How long the line waits for the last of the server's own volunteers once answers are possible without it. */
const ANCHORS_MS = 10_000;
/** How long nobody may be able to answer before that is said. */
const PATIENCE_MS = 60_000;

/** Says once that the network can answer; before that, where it takes long, why it cannot. */
export async function announceReady(
  server: Pick<SignalServer, 'snapshot'>,
  anchors: number,
  isStopping: () => boolean,
): Promise<void> {
  const startedMs = performance.now();
  let servableMs: number | null = null;
  let isWaitTold = false;
  while (!isStopping()) {
    const { models, volunteers } = server.snapshot();
    const servable = models.filter((model) => model.servable);
    const ready = volunteers.filter(({ kind, state }) => kind === 'anchor' && state === 'ready').length;
    if (servable.length > 0) servableMs ??= performance.now();
    if (servableMs !== null && (ready >= anchors || performance.now() - servableMs > ANCHORS_MS)) {
      process.stdout.write(`ready to answer: ${servable.map(({ name }) => name).join(', ')}\n`);
      for (const { name, lacks } of models) if (lacks) process.stdout.write(`${name} lacks ${lacks}\n`);
      return;
    }
    const isLate = performance.now() - startedMs > (anchors === 0 ? 0 : PATIENCE_MS);
    if (servableMs === null && isLate && !isWaitTold) {
      isWaitTold = true;
      process.stdout.write(`Nobody can answer yet: ${models[0]?.reason ?? 'there is no model'}.\n`);
      for (const { name, lacks } of models) if (lacks) process.stdout.write(`${name} lacks ${lacks}\n`);
    }
    await sleep(LOOK_MS, undefined, { ref: false });
  }
}
