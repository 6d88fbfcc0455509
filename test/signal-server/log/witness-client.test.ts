import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Identity } from '#shared/crypto/identity.ts';
import { formatVerifierKey } from '#shared/log/signed-note.ts';
import { WitnessClient } from '../../../signal-server/log/witness-client.ts';
import { parseWitnessAddress } from '../../../signal-server/machine/witness-address.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { listen, newFolder, removeFolder } from '../../support/log-stand.ts';
import { checkpointNote, logKeyOf, witnessKeyOf } from '../../support/signed-notes.ts';
import { makeIdentities } from '../../support/test-identity.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** As the platform's: time goes on between two readings, and a timer may come a little before its time. */
class RestlessClock extends FakeClock {
  override nowMs(): number {
    this.skip(0.01);
    return super.nowMs();
  }

  override setTimer(task: () => void, delayMs: number): () => void {
    return super.setTimer(task, Math.floor(delayMs));
  }
}

it('asks a witness in trouble again and again, also when the timer for it comes early', async () => {
  const folder = await newFolder();
  cleanups.push(() => removeFolder(folder));
  let asked = 0;
  const witness = await listen((_request, response) => {
    asked++;
    response.writeHead(500).end(`refusal ${asked}`);
  });
  cleanups.push(() => witness.stop());
  const [own, other] = (await makeIdentities(2)) as [Identity, Identity];
  const checkpoint = { origin: 'log.example', size: 5, root: new Uint8Array(32) };
  const head = { ...checkpoint, note: await checkpointNote(own, checkpoint) };
  const clock = new RestlessClock();
  const client = new WitnessClient({
    witnesses: [parseWitnessAddress(`${formatVerifierKey(witnessKeyOf(other, 'w.example'))} ${witness.url.href}`)],
    log: {
      key: logKeyOf(own, 'log.example'),
      head,
      consistency: () => Promise.resolve([]),
      rootAt: () => Promise.resolve(head.root),
    },
    folder: join(folder, 'witnesses'),
    clock,
    onFork: () => {},
    onWitness: () => {},
  });
  await client.start();
  cleanups.push(() => client.stop());
  // It fails at once and then after 1, 2, 4 and 8 s more.
  for (const [times, delayMs] of [0, 1000, 2000, 4000, 8000].entries()) {
    await clock.advance(delayMs + 1000);
    await expect.poll(() => client.status[0]?.error).toContain(`refusal ${times + 1}`);
  }
});
