import { monitorEventLoopDelay } from 'node:perf_hooks';
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '#shared/bytes.ts';
import { LeafMemo } from '#shared/draw/roster-tree.ts';
import { VrfKey, verifyVrf } from '#shared/draw/vrf.ts';
import { createVrfThread } from '../../signal-server/draw/vrf-thread.ts';
import { DrawnNetwork, MODEL, volunteersOf } from '../support/drawn-routes.ts';
import { figure, type Figure } from './figures.ts';

const TIMES = 100;
/** Volunteers of the whole roster, half of them for each of two stages. */
const VOLUNTEERS = 5_000;
const ROUTES_PER_SECOND = 50;

/** What a draw costs at 5,000 volunteers: the server, the verifier, and the receipt. */
export async function measureDraw(): Promise<Figure[]> {
  const network = new DrawnNetwork('bench', volunteersOf('bench', VOLUNTEERS / 2));
  const key = new VrfKey(sha256(utf8('bench')));
  const input = (i: number): Uint8Array => utf8(`input ${i}`);
  const proofs = Array.from({ length: TIMES }, (_, i) => key.prove(input(i)).proof);
  const memo = new LeafMemo(100_000);
  network.rosterOf(MODEL, memo);
  const rosterMs = await timesOf(5, () => network.rosterOf(MODEL));
  const nextRosterMs = await timesOf(5, () => network.rosterOf(MODEL, memo));
  const proveMs = await timesOf(TIMES, (i) => key.prove(input(i)));
  const verifyMs = await timesOf(TIMES, (i) => verifyVrf(key.publicKey, input(i), proofs[i]!));
  const made = Array.from({ length: TIMES }, (_, i) => network.draw(`nonce ${i}`));
  const checkMs = await timesOf(TIMES, (i) => network.verify(made[i]!));
  const perLook = made.map(({ draw }) => {
    const looks = draw.stages.reduce((sum, stage) => sum + stage.looks.length, 0);
    return utf8(JSON.stringify(draw.stages)).length / looks;
  });
  const idle = await loopDelays(() => undefined);
  const here = await loopDelays((one) => key.prove(one));
  const prover = createVrfThread(sha256(utf8('bench')), 0);
  await prover.prove(utf8('first'));
  await prover.isInThread();
  const apart = await loopDelays((one) => prover.prove(one));
  prover.stop();
  return [
    figure('building a roster of 5,000 volunteers', 'ms', rosterMs),
    figure('building the next one, of the same volunteers', 'ms', nextRosterMs),
    figure('proof of a draw', 'ms', proveMs),
    figure('verification of that proof', 'ms', verifyMs),
    figure('verification of a draw of two stages', 'ms', checkMs),
    figure('delay of the event loop with no proofs, mean', 'ms', idle.mean),
    figure('the same with 50 proofs a second made in it', 'ms', here.mean),
    figure('the same with them made in a thread', 'ms', apart.mean),
    figure('longest delay of the event loop with no proofs', 'ms', idle.max),
    figure('the same with 50 proofs a second made in it', 'ms', here.max),
    figure('the same with them made in a thread', 'ms', apart.max),
    figure('draw in a route, for each volunteer looked at', 'bytes', perLook),
  ];
}

/** How late the event loop is while routes are drawn, 50 a second: the mean and the latest of each run. */
async function loopDelays(
  prove: (input: Uint8Array<ArrayBuffer>) => unknown,
): Promise<{ mean: number[]; max: number[] }> {
  const [mean, max]: [number[], number[]] = [[], []];
  for (let run = 0; run < 3; run++) {
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    for (let i = 0; i < 3 * ROUTES_PER_SECOND; i++) {
      void prove(utf8(`run ${run} ${i}`));
      await new Promise((resolve) => setTimeout(resolve, 1_000 / ROUTES_PER_SECOND));
    }
    delays.disable();
    // The timer that measures comes 1 ms after the one before by itself.
    mean.push(delays.mean / 1e6 - 1);
    max.push(delays.max / 1e6 - 1);
  }
  return { mean, max };
}

/** Milliseconds of a processor that each of so many takes: others on the machine do not change them. */
async function timesOf(times: number, task: (i: number) => unknown): Promise<number[]> {
  const spent: number[] = [];
  for (let i = 0; i < times; i++) {
    const before = process.cpuUsage();
    await task(i);
    const { user, system } = process.cpuUsage(before);
    spent.push((user + system) / 1000);
  }
  return spent;
}
